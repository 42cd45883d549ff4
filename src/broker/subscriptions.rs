//! Who subscribes to what (4.7 and 4.8 of 5.0): the tree of filters, the subscribers of each, and the groups that share.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use slab::Slab;
use smallvec::SmallVec;

use super::session::SessionId;
use crate::packet::{QoS, SubscriptionOptions};
use crate::topic::{Filter, SubscriptionTree, Topic};

/// Names a shared subscription; never used again for another, so that an old message finds no new group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupId(NonZeroU32);

/// Names a subscription in the session that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its own, to the filter with this number.
    Own(u32),
    /// A share in a group.
    Share(GroupId),
}

/// One subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber {
    pub(super) session: SessionId,
    /// Its subscription identifier; 0 if it has none.
    pub(super) identifier: u32,
    pub(super) options: SubscriptionOptions,
}

/// A filter to subscribe to or unsubscribe from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// The filter that topics are matched against.
    pub(super) filter: Filter<'a>,
    /// The share name, if it is shared.
    pub(super) share: Option<&'a str>,
}

/// Everything that is subscribed to one filter.
#[derive(Debug)]
struct Entry {
    filter: Box<str>,
    /// Ascending by session.
    own: SmallVec<[Subscriber; 1]>,
    groups: Vec<GroupId>,
}

/// Sessions that share the messages of one filter under one name.
#[derive(Debug)]
pub(super) struct Group {
    name: Box<str>,
    entry: u32,
    /// In the order of joining.
    members: Vec<Subscriber>,
    /// Whose turn it is.
    turn: usize,
}

/// Who of a group is to get a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Readiness {
    /// It has no connection; the message would wait.
    Away,
    /// It has one, but the message would wait.
    Busy,
    /// It can be sent now.
    Ready,
}

/// All subscriptions of all sessions.
#[derive(Debug)]
pub(super) struct Subscriptions {
    tree: SubscriptionTree<u32>,
    entries: Slab<Entry>,
    groups: BTreeMap<GroupId, Group>,
    next_group: NonZeroU32,
    count: usize,
}

impl Subscriptions {
    /// None yet; `seed` keys the hashes.
    pub(super) fn new(seed: u64) -> Self {
        let next_group = NonZeroU32::MIN;
        let tree = SubscriptionTree::new(seed);
        Self { tree, entries: Slab::new(), groups: BTreeMap::new(), next_group, count: 0 }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether this session subscribes to exactly this.
    pub(super) fn contains(&self, target: Target<'_>, session: SessionId) -> bool {
        let Some(entry) = self.tree.get(target.filter).map(|&key| &self.entries[key as usize]) else { return false };
        match target.share {
            None => entry.find(session).is_ok(),
            Some(name) => self.group_of(entry, name).is_some_and(|id| self.groups[&id].position(session).is_some()),
        }
    }

    /// Adds a subscription, or replaces the one of the same session to the same (3.8.4 of 5.0). Gives the place of a new
    /// one.
    pub(super) fn insert(&mut self, target: Target<'_>, subscriber: Subscriber) -> Option<Place> {
        let key = match self.tree.get(target.filter) {
            Some(&key) => key,
            None => {
                let filter = target.filter.as_str().into();
                let entry = Entry { filter, own: SmallVec::new(), groups: Vec::new() };
                let key = u32::try_from(self.entries.insert(entry)).expect("memory ends long before 2^32 filters");
                self.tree.insert(target.filter, key);
                key
            }
        };
        let place = match target.share {
            None => {
                let own = &mut self.entries[key as usize].own;
                match own.binary_search_by_key(&subscriber.session, |own| own.session) {
                    Ok(at) => {
                        own[at] = subscriber;
                        return None;
                    }
                    Err(at) => own.insert(at, subscriber),
                }
                Place::Own(key)
            }
            Some(name) => {
                let id = match self.group_of(&self.entries[key as usize], name) {
                    Some(id) => id,
                    None => self.add_group(key, name),
                };
                let group = self.groups.get_mut(&id).expect(GROUPED);
                if let Some(at) = group.position(subscriber.session) {
                    group.members[at] = subscriber;
                    return None;
                }
                group.members.push(subscriber);
                Place::Share(id)
            }
        };
        self.count += 1;
        Some(place)
    }

    /// Takes a subscription out and gives the place it had.
    pub(super) fn remove(&mut self, target: Target<'_>, session: SessionId) -> Option<Place> {
        let &key = self.tree.get(target.filter)?;
        let entry = &self.entries[key as usize];
        let place = match target.share {
            None => Place::Own(key),
            Some(name) => Place::Share(self.group_of(entry, name)?),
        };
        self.remove_at(place, session).then_some(place)
    }

    /// Takes the subscription of this session at this place out; false if there is none.
    pub(super) fn remove_at(&mut self, place: Place, session: SessionId) -> bool {
        let key = match place {
            Place::Own(key) => {
                let Some(entry) = self.entries.get_mut(key as usize) else { return false };
                let Ok(at) = entry.find(session) else { return false };
                entry.own.remove(at);
                key
            }
            Place::Share(id) => {
                let Some(group) = self.groups.get_mut(&id) else { return false };
                let Some(at) = group.position(session) else { return false };
                group.members.remove(at);
                if group.turn > at {
                    group.turn -= 1;
                }
                let key = group.entry;
                if group.members.is_empty() {
                    self.groups.remove(&id);
                    self.entries[key as usize].groups.retain(|&group| group != id);
                }
                key
            }
        };
        self.count -= 1;
        let entry = &self.entries[key as usize];
        if entry.own.is_empty() && entry.groups.is_empty() {
            if let Ok(filter) = Filter::new(&entry.filter) {
                self.tree.remove(filter);
            }
            self.entries.remove(key as usize);
        }
        true
    }

    /// Visits every subscription whose filter matches, then every group.
    #[inline]
    pub(super) fn matches(&self, topic: Topic<'_>, own: &mut Vec<Subscriber>, groups: &mut Vec<GroupId>) {
        self.tree.matches(topic, |&key| {
            let entry = &self.entries[key as usize];
            own.extend_from_slice(&entry.own);
            groups.extend_from_slice(&entry.groups);
        });
    }

    /// Whose turn it is in a group: the next that is ready, else the next that has a connection, else the next. `None` if
    /// the group has ended. Unless they take `turns`, the next is who was chosen last.
    pub(super) fn next_in(
        &mut self,
        id: GroupId,
        turns: bool,
        readiness: impl Fn(&Subscriber) -> Readiness,
    ) -> Option<Subscriber> {
        let group = self.groups.get_mut(&id)?;
        let count = group.members.len();
        let mut best: Option<(Readiness, usize)> = None;
        for at in (0..count).map(|step| (group.turn + step) % count) {
            let ready = readiness(&group.members[at]);
            if best.is_none_or(|(other, _)| ready > other) {
                best = Some((ready, at));
            }
            if ready == Readiness::Ready {
                break;
            }
        }
        let (_, chosen) = best?;
        group.turn = (chosen + usize::from(turns)) % count;
        Some(group.members[chosen])
    }

    fn group_of(&self, entry: &Entry, name: &str) -> Option<GroupId> {
        entry.groups.iter().copied().find(|id| *self.groups[id].name == *name)
    }

    fn add_group(&mut self, entry: u32, name: &str) -> GroupId {
        let id = GroupId(self.next_group);
        self.next_group = self.next_group.checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.groups.insert(id, Group { name: name.into(), entry, members: Vec::new(), turn: 0 });
        self.entries[entry as usize].groups.push(id);
        id
    }
}

const GROUPED: &str = "an entry names only groups that exist";

impl Entry {
    fn find(&self, session: SessionId) -> Result<usize, usize> {
        self.own.binary_search_by_key(&session, |own| own.session)
    }
}

impl Group {
    fn position(&self, session: SessionId) -> Option<usize> {
        self.members.iter().position(|member| member.session == session)
    }
}

impl Subscriber {
    /// At which QoS it gets a message (3.8.4-8 of 5.0).
    #[inline]
    pub(super) fn qos(&self, published: QoS) -> QoS {
        self.options.qos.min(published)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(filter: &'static str, share: Option<&'static str>) -> Target<'static> {
        Target { filter: Filter::new(filter).unwrap(), share }
    }

    fn subscriber(session: u32, identifier: u32) -> Subscriber {
        Subscriber { session: SessionId(session), identifier, options: SubscriptionOptions::default() }
    }

    fn found(table: &Subscriptions, topic: &str) -> (Vec<u32>, usize) {
        let (mut own, mut groups) = (Vec::new(), Vec::new());
        table.matches(Topic::new(topic).unwrap(), &mut own, &mut groups);
        (own.iter().map(|own| own.identifier).collect(), groups.len())
    }

    #[test]
    fn a_filter_and_its_shares_are_separate_and_leave_nothing_behind() {
        let mut table = Subscriptions::new(1);
        let plain = table.insert(target("a/#", None), subscriber(1, 10)).unwrap();
        assert_eq!(table.insert(target("a/#", None), subscriber(1, 11)), None, "replaced");
        table.insert(target("a/#", None), subscriber(0, 9)).unwrap();
        let share = table.insert(target("a/#", Some("g")), subscriber(1, 12)).unwrap();
        table.insert(target("a/#", Some("h")), subscriber(1, 13)).unwrap();
        assert_eq!(found(&table, "a/b"), (vec![9, 11], 2));
        assert!(table.contains(target("a/#", Some("g")), SessionId(1)));
        assert!(!table.contains(target("a/#", Some("g")), SessionId(0)));
        assert_eq!(table.remove(target("a/#", Some("g")), SessionId(1)), Some(share));
        assert_eq!(table.remove(target("a/#", Some("g")), SessionId(1)), None);
        assert_eq!(table.remove(target("a/#", None), SessionId(1)), Some(plain));
        assert!(table.remove(target("a/#", None), SessionId(0)).is_some());
        assert!(table.remove(target("a/#", Some("h")), SessionId(1)).is_some());
        assert_eq!(found(&table, "a/b"), (vec![], 0));
        assert!(table.len() == 0 && table.tree.is_empty() && table.entries.is_empty() && table.groups.is_empty());
    }

    #[test]
    fn turns_go_round_and_prefer_who_is_ready() {
        let mut table = Subscriptions::new(1);
        let Some(Place::Share(id)) = table.insert(target("a", Some("g")), subscriber(0, 0)) else { panic!("new") };
        table.insert(target("a", Some("g")), subscriber(1, 1));
        table.insert(target("a", Some("g")), subscriber(2, 2));
        let mut check = |turns: bool, readiness: [Readiness; 3], expect: &[u32]| {
            let of = |member: &Subscriber| readiness[member.identifier as usize];
            let got: Vec<u32> = expect.iter().map(|_| table.next_in(id, turns, of).unwrap().identifier).collect();
            assert_eq!(got, expect);
        };
        use Readiness::{Away, Busy, Ready};
        check(true, [Ready, Ready, Ready], &[0, 1, 2, 0]);
        check(true, [Ready, Busy, Ready], &[2, 0, 2, 0]);
        check(true, [Away, Busy, Away], &[1, 1]);
        check(true, [Away, Away, Away], &[2, 0, 1]);
        check(false, [Ready, Ready, Ready], &[2, 2, 2]);
        check(false, [Ready, Away, Busy], &[0, 0]);
    }
}
