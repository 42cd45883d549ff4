//! What the timeline does to a fleet: to its links, its devices and its server, and how that ends.

use std::time::Duration;

use harness::fault::Fault;
use harness::link::{End, Reading};
use harness::node::{Close, Closed, Node};
use harness::time::Instant;

use super::{Due, Post, Simulation, Told, suffers};
use crate::scenario::plan::Happening;
use crate::scenario::schema::{Keeps, Phase};

impl<S: Node> Simulation<'_, S> {
    /// The devices of a group that something at this place of the timeline happens to.
    fn chosen(&self, place: u32, group: usize, share: f64) -> Vec<u32> {
        self.groups[group].clone().filter(|&device| self.is_chosen(place, device, share)).collect()
    }

    fn is_chosen(&self, place: u32, device: u32, share: f64) -> bool {
        let device = &self.posts[device as usize].device;
        let number = self.floor.roster.devices(device.group()).start + device.number();
        self.lots.choose(place as usize, share, number)
    }

    /// Something of the timeline begins.
    pub(super) fn begin(&mut self, place: u32) {
        let now = self.now;
        let what = self.floor.plan.timeline[place as usize].what.clone();
        let ends = match &what {
            Happening::Link { lasts, .. } => *lasts,
            _ => None,
        };
        match what {
            Happening::Link { group, share, fault, .. } => {
                for device in self.chosen(place, group, share) {
                    self.posts[device as usize].line.suffer(now, fault);
                    self.attend(device);
                }
            }
            Happening::Heal(group) => self.heal(group, self.chosen(place, group, 1.0)),
            Happening::Leave { group, share, lasts } => {
                let until = lasts.map_or(Instant::FAR, |lasts| now + lasts);
                for device in self.chosen(place, group, share) {
                    self.posts[device as usize].device.leave(now, until, &mut self.floor);
                    self.carry_out(device);
                    self.attend(device);
                }
            }
            Happening::Restart { keeps, lasts } => self.restart(keeps, lasts),
        }
        if let Some(lasts) = ends {
            self.wheel.push(now + lasts, Due::Ends(place));
        }
    }

    /// Something of the timeline ends by itself.
    pub(super) fn end(&mut self, place: u32) {
        if let Happening::Link { group, share, .. } = self.floor.plan.timeline[place as usize].what {
            self.heal(group, self.chosen(place, group, share));
        }
    }

    /// What was done to these devices of a group ends, but for what is in force at this moment.
    fn heal(&mut self, group: usize, devices: impl IntoIterator<Item = u32>) {
        let now = self.now;
        if suffers(&self.floor.plan, group) {
            self.floor.healed[group] = now;
        }
        let habit = self.floor.plan.groups[group].reads.map_or(Reading::Prompt, Reading::at_rate);
        let in_force = self.in_force(group);
        for device in devices {
            self.posts[device as usize].line.heal(now, habit);
            for &(place, share, fault) in &in_force {
                if self.is_chosen(place, device, share) {
                    self.posts[device as usize].line.suffer(now, fault);
                }
            }
            self.attend(device);
        }
    }

    /// What was done to the links of a group and has not ended: its place in the timeline, the share it was done to, and
    /// what.
    fn in_force(&self, group: usize) -> Vec<(u32, f64, Fault)> {
        let mut found = Vec::new();
        if self.floor.phase == Phase::Calm {
            return found;
        }
        for (place, moment) in self.floor.plan.timeline.iter().enumerate() {
            let began = Instant::ZERO + moment.at;
            match moment.what {
                _ if began > self.now => break,
                Happening::Heal(healed) if healed == group => found.clear(),
                Happening::Link { group: whose, share, lasts, fault }
                    if whose == group && fault.lasts() && lasts.is_none_or(|lasts| began + lasts > self.now) =>
                {
                    found.push((place as u32, share, fault));
                }
                _ => {}
            }
        }
        found
    }

    /// The server goes, and comes back.
    fn restart(&mut self, keeps: Keeps, lasts: Duration) {
        if self.start.is_some() {
            self.take_away(keeps);
        }
        if keeps == Keeps::Nothing {
            self.floor.forget(self.now);
            self.forgets = self.start.is_none();
        }
        self.away_until = self.away_until.max(self.now + lasts);
        self.wheel.push(self.away_until, Due::Returns);
    }

    /// The server is stopped.
    fn take_away(&mut self, keeps: Keeps) {
        let now = self.now;
        // The operating system ends its connections, in an order in which others that play elsewhere change nothing.
        let mut seats: Vec<_> = self.seats.iter().flatten().copied().collect();
        seats.sort_unstable();
        for (device, place) in seats {
            let post = &mut self.posts[device as usize];
            post.line.close(now, place as usize, End::Server, Close::Abruptly);
            if let Some(conn) = post.line.strand(place as usize).and_then(|strand| strand.server.take()) {
                self.inbox.push_back(Told::Closed(conn, Closed::Reset));
            }
            post.plan(&mut self.wheel, now, device, None);
        }
        match keeps {
            Keeps::State => {
                self.serve();
                // Stopped while it is stopped, it stays so until the later return.
                self.stopped = self.server.take().or(self.stopped.take());
            }
            Keeps::Nothing => {
                self.inbox.clear();
                self.server = None;
                self.stopped = None;
            }
        }
        self.seats.clear();
        self.free.clear();
        self.server_due = Instant::FAR;
    }

    /// The server is there again; whoever lost it recovers from now on.
    pub(super) fn bring_back(&mut self) {
        let Some(start) = &self.start else {
            if std::mem::take(&mut self.forgets) {
                self.floor.forget(self.now);
            }
            return self.floor.healed.fill(self.now);
        };
        if self.server.is_none() {
            self.server = Some(self.stopped.take().unwrap_or_else(start));
            self.floor.healed.fill(self.now);
            self.inbox.push_back(Told::Wake);
            self.serve();
        }
    }

    /// The calm begins: all is healed.
    pub(super) fn calm(&mut self) {
        self.floor.phase = Phase::Calm;
        if self.away_until >= self.now {
            self.bring_back();
        }
        for Post { line, device, .. } in &mut self.posts {
            line.link.end_outages();
            device.come_back(self.now);
        }
        for group in 0..self.floor.plan.groups.len() {
            self.heal(group, self.groups[group].clone());
        }
    }
}
