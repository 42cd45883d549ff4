//! Shared subscriptions (4.8.2 of 5.0). How a server chooses among the members of a group is its own affair; that it
//! chooses one of them is not.

use harness::case::{Case, Outcome, Stop};

use super::expect::{suback, unsuback};
use super::peer::{Delivery, Peer};
use super::retain::is_there;
use super::script::{Script, puback, publish, subscribe, unsubscribe};
use super::subscribe::filter_is_refused;
use super::supports::Capability;
use super::testbed::{Testbed, deviates};
use crate::packet::{
    Property::SubscriptionIdentifier,
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, SubscriptionOptions,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("shared/one-member-gets-each-message", one_member_gets_each_message)
        .claim("each message goes to exactly one of the members of a group")
        .covers(&["mqtt5:ext-204", "mqtt5:ext-209"]),
    Case::new("shared/groups-are-independent", groups_are_independent)
        .claim("each group gets its own copy of a message, and so does an ordinary subscriber")
        .covers(&["mqtt5:ext-205"]),
    Case::new("shared/filters-of-a-group-are-independent", filters_are_independent)
        .claim("two shared subscriptions of one name and different filters are two, and bring a copy each")
        .covers(&["mqtt5:ext-206", "mqtt5:ext-209"]),
    Case::new("shared/ordinary-subscription-beside-it", ordinary_subscription_beside_it)
        .claim("one who subscribes to a filter both alone and as the only member of a group gets two copies")
        .covers(&["mqtt5:ext-207"]),
    Case::new("shared/brings-no-retained-message", brings_no_retained_message)
        .claim("a shared subscription brings no retained message, be it new or repeated, first or later of its group")
        .covers(&["mqtt5:ext-208"]),
    Case::new("shared/name-without-a-character-is-refused", empty_name_is_refused)
        .claim("a shared subscription whose share name is empty is refused")
        .covers(&["mqtt5:4.8.2-1"])
        .exact_names(),
    Case::new("shared/name-with-a-wildcard-is-refused", wildcard_in_name_is_refused)
        .claim("a shared subscription whose share name holds + or # is refused")
        .covers(&["mqtt5:4.8.2-2"])
        .exact_names(),
    Case::new("shared/without-a-filter-is-refused", without_a_filter_is_refused)
        .claim("a shared subscription whose share name is not followed by a topic filter is refused")
        .covers(&["mqtt5:4.8.2-2", "mqtt5:4.7.3-1"])
        .exact_names(),
    Case::new("shared/no-local-is-refused", no_local_is_refused)
        .claim("a shared subscription with No Local is refused")
        .covers(&["mqtt5:3.8.3-4", "mqtt5:4.13.1-1"]),
    Case::new("shared/each-member-has-its-qos", each_member_has_its_qos)
        .claim(
            "a message comes at the lower of its own quality of service and the one granted to the member that gets it",
        )
        .covers(&["mqtt5:4.8.2-3"]),
    Case::new("shared/each-member-has-its-identifier", each_member_has_its_identifier)
        .claim("a message carries the subscription identifier of the member that gets it, and no other")
        .covers(&["mqtt5:ext-215", "mqtt5:ext-127"]),
    Case::new("shared/flag-is-kept-as-published", flag_is_kept_as_published)
        .claim("with Retain As Published a message reaches a member with RETAIN as it was sent")
        .covers(&["mqtt5:3.3.1-13"]),
    Case::new("shared/unsubscribing-detaches-one-member", unsubscribing_detaches_one_member)
        .claim("a member that unsubscribes, be it the first or the last, gets no more, and the others get all")
        .covers(&["mqtt5:ext-167", "mqtt5:ext-212"]),
    Case::new("shared/ended-session-leaves-its-group", ended_session_leaves_its_group)
        .claim("a member whose session has ended gets no share of what is sent later")
        .covers(&["mqtt5:ext-211"]),
    Case::new("shared/repeated-subscription-is-one-membership", repeated_subscription_is_one_membership)
        .claim("a member that subscribes twice is one member, with the later options, and leaves by one UNSUBSCRIBE")
        .covers(&["mqtt5:ext-210"]),
    Case::new("shared/ordinary-unsubscribe-leaves-it", ordinary_unsubscribe_leaves_it)
        .claim("UNSUBSCRIBE from the plain filter leaves the shared subscription, and the other way round")
        .covers(&["mqtt5:ext-168"]),
    Case::new("shared/messages-wait-for-the-only-member", messages_wait_for_the_only_member)
        .claim("messages wait, in order, for the only member while it is absent")
        .covers(&["mqtt5:ext-217"]),
    Case::new("shared/ends-with-its-last-member", ends_with_its_last_member)
        .claim("what is sent after the last member left does not come to one that joins later")
        .covers(&["mqtt5:ext-212"]),
    Case::new("shared/rejected-message-is-not-offered-to-others", rejected_is_not_offered_to_others)
        .claim("a message that a member answered by PUBACK with an error code goes to no other member")
        .covers(&["mqtt5:4.8.2-6"]),
    Case::new("shared/unsubscribe-names-one-group", unsubscribe_names_one_group)
        .claim("UNSUBSCRIBE with a share name leaves the shared subscription to the same filter under another name")
        .covers(&["mqtt5:3.10.4-1", "mqtt5:ext-205"]),
    Case::new("shared/options-are-kept-for-the-absent", options_are_kept_for_the_absent)
        .claim("what waited for a member comes as its shared subscription asks: with the identifier, and RETAIN as published")
        .covers(&["mqtt5:ext-163", "mqtt5:3.3.1-13", "mqtt5:3.3.4-3"]),
    Case::new("shared/started-qos2-delivery-stays-with-its-member", started_qos2_stays)
        .claim("a delivery at QoS 2 that was started is completed with the same member after it reconnects")
        .covers(&["mqtt5:4.8.2-4"]),
    Case::new("shared/started-qos2-delivery-ends-with-its-session", started_qos2_ends)
        .claim("a delivery at QoS 2 that was started goes to no other member when the session of its own ends")
        .covers(&["mqtt5:4.8.2-5"]),
    Case::new("shared/unacknowledged-goes-to-another-member", unacknowledged_goes_to_another)
        .claim("a message at QoS 1 without PUBACK goes to another member when the session of the first ends")
        .covers(&["mqtt5:ext-214"]),
];

/// The group and filter that most cases share.
const DOOR: &str = "$share/group/door";
/// How many messages are sent to a group.
const MESSAGES: usize = 12;

/// A member of the group, who also hears the bell, which is the fence.
fn member<'t>(t: &'t Testbed, role: &str, qos: QoS) -> Result<Peer<'t>, Stop> {
    t.needs(Capability::Shared)?;
    let member = t.join(role)?;
    member.subscribe(DOOR, qos)?;
    member.subscribe("bell", AtMostOnce)?;
    Ok(member)
}

/// Sends this many messages to the group.
fn knock(t: &Testbed, count: usize, qos: QoS) -> Result<(), Stop> {
    let writer = t.join("writer")?;
    for number in 0..count {
        writer.publish(publish("door", number.to_string()).at(qos, 0))?;
    }
    writer.leave()
}

/// Rings the bell and gathers what each member got before it; each message is acknowledged.
fn gather(t: &Testbed, members: &[&Peer<'_>], count: usize) -> Result<Vec<Vec<Delivery>>, Stop> {
    gather_and(t, members, count, |member, delivery| member.acknowledge(delivery))
}

/// As [`gather`], with this done to each message. Where fewer than `count` come in all, the members get more time as long as
/// something comes, for ordering does not put the bell behind the other topic.
fn gather_and(
    t: &Testbed,
    members: &[&Peer<'_>],
    count: usize,
    answer: impl Fn(&Peer<'_>, &Delivery) -> Outcome,
) -> Result<Vec<Vec<Delivery>>, Stop> {
    let ringer = t.join("ringer")?;
    ringer.publish(publish("bell", "rings"))?;
    ringer.leave()?;
    let mut gathered = vec![Vec::new(); members.len()];
    for (member, gathered) in members.iter().zip(&mut gathered) {
        loop {
            let came = member.delivery("the bell")?;
            if came.topic == "bell" {
                break;
            }
            answer(member, &came)?;
            gathered.push(came);
        }
    }
    let mut idle = 0;
    while idle < 10 && gathered.iter().map(Vec::len).sum::<usize>() < count {
        t.sleep(t.timing().grace / 10);
        idle += 1;
        for (member, gathered) in members.iter().zip(&mut gathered) {
            while let Ok(late) = member.delivery_by("a message", t.now()) {
                answer(member, &late)?;
                gathered.push(late);
                idle = 0;
            }
        }
    }
    Ok(gathered)
}

/// All messages of [`knock`] came, each once.
fn all_came_once(t: &Testbed, gathered: &[Vec<Delivery>]) -> Outcome {
    let mut came: Vec<_> = gathered.iter().flatten().map(Delivery::text).collect();
    came.sort_by_key(|text| text.parse::<usize>().unwrap_or(usize::MAX));
    let sent: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
    t.judge(came == sent, format!("{MESSAGES} messages, each at one member"), || {
        let each: Vec<Vec<_>> = gathered.iter().map(|one| one.iter().map(Delivery::text).collect()).collect();
        format!("at each member {each:?}")
    })
}

fn one_member_gets_each_message(t: &Testbed) -> Outcome {
    let (first, second, third) =
        (member(t, "first", AtLeastOnce)?, member(t, "second", AtLeastOnce)?, member(t, "third", AtLeastOnce)?);
    knock(t, MESSAGES, AtLeastOnce)?;
    all_came_once(t, &gather(t, &[&first, &second, &third], MESSAGES)?)
}

fn groups_are_independent(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    let (first, second, ordinary) = (t.join("first")?, t.join("second")?, t.join("ordinary")?);
    first.subscribe("$share/one/door", AtMostOnce)?;
    second.subscribe("$share/other/door", AtMostOnce)?;
    ordinary.subscribe("door", AtMostOnce)?;
    knock(t, 2, AtMostOnce)?;
    for reader in [first, second, ordinary] {
        reader.hears_all(["0", "1"])?;
    }
    Ok(())
}

/// The share name plays no part in matching, nor does an empty level after it get lost.
fn filters_are_independent(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    t.needs(Capability::Wildcards)?;
    let (first, second) = (t.join("first")?, t.join("second")?);
    first.subscribe("$share/group/door//1", AtMostOnce)?;
    second.subscribe("$share/group/door/+/1", AtMostOnce)?;
    let writer = t.join("writer")?;
    for (topic, payload) in [("door/1", "elsewhere"), ("door//1", "open"), ("door//1", "shut")] {
        writer.publish(publish(topic, payload))?;
    }
    first.hears(["open", "shut"])?;
    second.hears(["open", "shut"])
}

fn ordinary_subscription_beside_it(t: &Testbed) -> Outcome {
    let both = member(t, "both", AtMostOnce)?;
    both.subscribe("door", AtMostOnce)?;
    knock(t, 1, AtMostOnce)?;
    let gathered = gather(t, &[&both], 2)?;
    t.judge(gathered[0].len() == 2, "two copies", || format!("{} before the bell", gathered[0].len()))
}

/// An ordinary subscriber shows that the message is stored.
fn brings_no_retained_message(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    t.needs(Capability::Retain)?;
    let keeper = t.join("keeper")?;
    keeper.publish(publish("door", "stored").at(AtLeastOnce, 0).retained())?;
    is_there(t, "door", "stored")?;
    for role in ["first", "second"] {
        let member = t.join(role)?;
        member.subscribe("bell", AtMostOnce)?;
        member.subscribe(DOOR, AtMostOnce)?;
        member.subscribe(DOOR, AtMostOnce)?;
        keeper.publish(publish("bell", "rings"))?;
        member.hears(["rings"])?;
        keeper.publish(publish("bell", "again"))?;
        member.hears(["again"])?;
    }
    Ok(())
}

fn empty_name_is_refused(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    filter_is_refused(t, subscribe(7).to_exactly(&format!("$share//{}", t.topic("door")), AtMostOnce))
}

fn wildcard_in_name_is_refused(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    for name in ["group+", "gr#oup", "+", "#"] {
        filter_is_refused(t, subscribe(7).to_exactly(&format!("$share/{name}/{}", t.topic("door")), AtMostOnce))?;
    }
    Ok(())
}

fn without_a_filter_is_refused(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    for filter in ["$share/group", "$share/group/", "$share/"] {
        filter_is_refused(t, subscribe(7).to_exactly(filter, AtMostOnce))?;
    }
    Ok(())
}

/// No encoder writes such options: the bit is set afterwards.
fn no_local_is_refused(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    let member = t.join("member")?;
    let mut bytes = subscribe(7).to(DOOR, AtMostOnce).wire(t)?;
    if let Some(options) = bytes.last_mut() {
        *options |= 0b100;
    }
    member.send_raw(&bytes)?;
    member.refused(&[ReasonCode::ProtocolError])
}

fn each_member_has_its_qos(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let (lower, higher) = (member(t, "lower", AtMostOnce)?, member(t, "higher", AtLeastOnce)?);
    knock(t, MESSAGES, AtLeastOnce)?;
    let gathered = gather(t, &[&lower, &higher], MESSAGES)?;
    for (granted, came) in [AtMostOnce, AtLeastOnce].into_iter().zip(&gathered) {
        if let Some(wrong) = came.iter().find(|delivery| delivery.qos != granted) {
            return Err(deviates(format!("QoS {} for the member granted that", granted as u8), wrong.words.clone()));
        }
    }
    t.judge(gathered.iter().flatten().count() > 0, "a message at one of the members", || "none".into())
}

fn each_member_has_its_identifier(t: &Testbed) -> Outcome {
    t.needs(Capability::SubscriptionIdentifiers)?;
    let (first, second) = (member(t, "first", AtMostOnce)?, member(t, "second", AtMostOnce)?);
    first.subscribe_with(subscribe(1).to(DOOR, AtMostOnce).with(SubscriptionIdentifier(11)))?;
    second.subscribe_with(subscribe(1).to(DOOR, AtMostOnce).with(SubscriptionIdentifier(22)))?;
    knock(t, MESSAGES, AtMostOnce)?;
    let gathered = gather(t, &[&first, &second], MESSAGES)?;
    for (own, came) in [11, 22].into_iter().zip(&gathered) {
        if let Some(wrong) = came.iter().find(|each| !each.properties.view().subscription_identifiers().eq([own])) {
            return Err(deviates(format!("subscription identifier {own} alone"), wrong.words.clone()));
        }
    }
    all_came_once(t, &gathered)
}

fn flag_is_kept_as_published(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    t.needs(Capability::Retain)?;
    let options = SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::default() };
    let only = t.join("only")?;
    only.subscribe_with(subscribe(1).with_options(DOOR, options))?;
    let writer = t.join("writer")?;
    for (payload, retain) in [("shut", false), ("open", true)] {
        let script = publish("door", payload);
        writer.publish(if retain { script.retained() } else { script })?;
        let came = only.delivery("the message")?;
        let right = came.text() == payload && came.retain == retain;
        t.judge(right, format!("{payload:?} with RETAIN {}", u8::from(retain)), || came.words.clone())?;
    }
    Ok(())
}

fn unsubscribing_detaches_one_member(t: &Testbed) -> Outcome {
    for leaving in [0, 1] {
        let members = [member(t, "first", AtMostOnce)?, member(t, "second", AtMostOnce)?];
        members[leaving].send(unsubscribe(7, [DOOR]))?;
        members[leaving].expect(unsuback(7, 1))?;
        knock(t, MESSAGES, AtMostOnce)?;
        let gathered = gather(t, &members.each_ref(), MESSAGES)?;
        let nothing = "nothing for the member that left";
        t.judge(gathered[leaving].is_empty(), nothing, || gathered[leaving][0].words.clone())?;
        all_came_once(t, &gathered)?;
        members.into_iter().try_for_each(Peer::leave)?;
    }
    Ok(())
}

fn ended_session_leaves_its_group(t: &Testbed) -> Outcome {
    let (first, second) = (member(t, "first", AtLeastOnce)?, member(t, "second", AtLeastOnce)?);
    first.vanish()?;
    knock(t, MESSAGES, AtLeastOnce)?;
    all_came_once(t, &gather(t, &[&second], MESSAGES)?)
}

fn repeated_subscription_is_one_membership(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let only = member(t, "only", AtMostOnce)?;
    only.subscribe(DOOR, AtLeastOnce)?;
    knock(t, MESSAGES, AtLeastOnce)?;
    let gathered = gather(t, &[&only], MESSAGES)?;
    all_came_once(t, &gathered)?;
    t.judge(gathered[0].iter().all(|each| each.qos == AtLeastOnce), "QoS 1, as granted last", || {
        gathered[0][0].words.clone()
    })?;
    only.send(unsubscribe(7, [DOOR]))?;
    only.expect(unsuback(7, 1))?;
    knock(t, 1, AtLeastOnce)?;
    let gathered = gather(t, &[&only], 0)?;
    t.judge(gathered[0].is_empty(), "nothing after UNSUBSCRIBE", || gathered[0][0].words.clone())
}

/// The quality of service tells by which of the two a copy came.
fn ordinary_unsubscribe_leaves_it(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    for (ended, left) in [("door", AtMostOnce), (DOOR, AtLeastOnce)] {
        let both = member(t, "both", AtMostOnce)?;
        both.subscribe("door", AtLeastOnce)?;
        both.send(unsubscribe(7, [ended]))?;
        both.expect(unsuback(7, 1))?;
        knock(t, 1, AtLeastOnce)?;
        let gathered = gather(t, &[&both], 1)?;
        t.judge(matches!(&gathered[0][..], [copy] if copy.qos == left), "one copy, of the other subscription", || {
            format!("{:?} before the bell", gathered[0].iter().map(|copy| &copy.words).collect::<Vec<_>>())
        })?;
        both.leave()?;
    }
    Ok(())
}

fn messages_wait_for_the_only_member(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    let only = t.join_persistent("only")?;
    only.subscribe(DOOR, AtLeastOnce)?;
    only.vanish()?;
    knock(t, MESSAGES, AtLeastOnce)?;
    t.resume("only")?.hears((0..MESSAGES).map(|number| number.to_string()))
}

/// The quality of service tells by which of the two the copy came.
fn unsubscribe_names_one_group(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    t.needs(Capability::QoS1)?;
    let (one, other) = ("$share/one/door", "$share/other/door");
    for (ended, left) in [(one, AtLeastOnce), (other, AtMostOnce)] {
        let both = t.join("both")?;
        both.subscribe("bell", AtMostOnce)?;
        both.subscribe(one, AtMostOnce)?;
        both.subscribe(other, AtLeastOnce)?;
        both.send(unsubscribe(7, [ended]))?;
        both.expect(unsuback(7, 1))?;
        knock(t, 1, AtLeastOnce)?;
        let gathered = gather(t, &[&both], 1)?;
        t.judge(matches!(&gathered[0][..], [copy] if copy.qos == left), "one copy, of the other group", || {
            format!("{:?} before the bell", gathered[0].iter().map(|copy| &copy.words).collect::<Vec<_>>())
        })?;
        both.leave()?;
    }
    Ok(())
}

fn options_are_kept_for_the_absent(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    t.needs(Capability::Retain)?;
    let options = SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::qos(AtLeastOnce) };
    let script = subscribe(1).with_options(DOOR, options);
    let ids: &[u32] = if t.supports().subscription_identifiers { &[7] } else { &[] };
    let only = t.join_persistent("only")?;
    only.subscribe_with(ids.iter().fold(script, |script, id| script.with(SubscriptionIdentifier(*id))))?;
    only.vanish()?;
    t.join("writer")?.publish(publish("door", "open").at(AtLeastOnce, 0).retained())?;
    let came = t.resume("only")?.waited()?;
    let kept = came.retain && came.properties.view().subscription_identifiers().eq(ids.iter().copied());
    t.judge(kept, format!("the message with RETAIN 1 and identifiers {ids:?}"), || came.words.clone())
}

/// The bell shows that the first message has found nobody.
fn ends_with_its_last_member(t: &Testbed) -> Outcome {
    let only = member(t, "only", AtLeastOnce)?;
    only.send(unsubscribe(7, [DOOR]))?;
    only.expect(unsuback(7, 1))?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "to nobody").at(AtLeastOnce, 0))?;
    writer.publish(publish("bell", "rings"))?;
    only.hears(["rings"])?;
    only.send(subscribe(8).to(DOOR, AtLeastOnce))?;
    only.expect(suback(8, &[Some(1)]))?;
    writer.publish(publish("door", "to the new member").at(AtLeastOnce, 0))?;
    only.hears(["to the new member"])
}

/// Sends one message to two members with sessions that go on, and tells who got it, unacknowledged: the holder, the
/// delivery, and the other.
fn hand_out(t: &Testbed, qos: QoS) -> Result<(Peer<'_>, Delivery, Peer<'_>), Stop> {
    t.needs(Capability::Shared)?;
    let (first, second) = (t.join_persistent("first")?, t.join_persistent("second")?);
    for member in [&first, &second] {
        member.subscribe(DOOR, qos)?;
        member.subscribe("bell", AtMostOnce)?;
    }
    knock(t, 1, qos)?;
    let mut gathered = gather_and(t, &[&first, &second], 1, |_, _| Ok(()))?;
    match (gathered[0].pop(), gathered[1].pop()) {
        (Some(held), None) => Ok((first, held, second)),
        (None, Some(held)) => Ok((second, held, first)),
        _ => Err(deviates("the message at one of two members", "it came to both or to none")),
    }
}

/// Nothing comes to this member up to the bell.
fn gets_nothing(t: &Testbed, member: &Peer<'_>) -> Outcome {
    let gathered = gather(t, &[member], 0)?;
    t.judge(gathered[0].is_empty(), "nothing for the other member", || gathered[0][0].words.clone())
}

fn rejected_is_not_offered_to_others(t: &Testbed) -> Outcome {
    let (holder, held, other) = hand_out(t, AtLeastOnce)?;
    holder.send(puback(held.id).because(ReasonCode::UnspecifiedError))?;
    holder.ping()?;
    gets_nothing(t, &other)
}

fn started_qos2_stays(t: &Testbed) -> Outcome {
    let (holder, held, other) = hand_out(t, ExactlyOnce)?;
    let holder = holder.drop_and_resume()?;
    holder.hears([&held.payload])?;
    gets_nothing(t, &other)
}

fn started_qos2_ends(t: &Testbed) -> Outcome {
    let (holder, _, other) = hand_out(t, ExactlyOnce)?;
    let role = holder.role().to_string();
    holder.vanish()?;
    t.join(&role)?.leave()?;
    gets_nothing(t, &other)
}

fn unacknowledged_goes_to_another(t: &Testbed) -> Outcome {
    let (holder, held, other) = hand_out(t, AtLeastOnce)?;
    let role = holder.role().to_string();
    holder.vanish()?;
    t.join(&role)?.leave()?;
    other.hears([&held.payload])
}
