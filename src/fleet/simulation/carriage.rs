//! What passes between devices, their lines and the server: at whatever end something arrives, what comes of it is carried on.

use harness::link::{Arrived, End};
use harness::node::{Close, Closed, ConnId, Input, Node, Output, Peer, Via};

use super::{Due, Post, Simulation, Told};

impl<S: Node> Simulation<'_, S> {
    /// Something reached the device.
    pub(super) fn reach_device(&mut self, device: u32, place: usize, what: Arrived) {
        let Post { line, device: core, .. } = &mut self.posts[device as usize];
        let Some(strand) = line.strand(place) else { return };
        if !strand.device {
            // Nobody listens: what comes is thrown away.
            if let Arrived::Bytes(count) = what {
                strand.take(End::Device, count);
            }
            return;
        }
        let conn = ConnId(place as u32);
        let (now, floor) = (self.now, &mut self.floor);
        match what {
            Arrived::Opened => {
                let Some(ticket) = strand.ticket.take() else { return };
                let room = strand.tell_room(End::Device);
                let (via, peer) = (Via::Ticket(*ticket), Peer::default());
                core.handle(now, Input::Opened { conn, via, peer, room }, floor);
            }
            Arrived::Bytes(count) => {
                (floor.since, floor.forgotten) = (strand.since(End::Device), false);
                let bytes = strand.take(End::Device, count);
                core.handle(now, Input::Bytes { conn, bytes }, floor);
            }
            Arrived::Closed(how) => {
                strand.device = false;
                match strand.ticket.take() {
                    Some(ticket) => {
                        core.handle(now, Input::Refused { ticket: *ticket, why: "no answer" }, floor);
                    }
                    None => {
                        floor.forgotten = strand.is_forgotten();
                        core.handle(now, Input::Closed { conn, how }, floor);
                    }
                }
                if how == Closed::Finished {
                    line.close(now, place, End::Device, Close::Gracefully);
                }
            }
        }
        self.carry_out(device);
    }

    /// Something reached the server.
    pub(super) fn reach_server(&mut self, device: u32, place: usize, what: Arrived) {
        let now = self.now;
        let Post { line, device: core, .. } = &mut self.posts[device as usize];
        let Some(strand) = line.strand(place) else { return };
        let Some(server) = &mut self.server else {
            // Nobody is at home: the operating system refuses.
            if what == Arrived::Opened {
                line.close(now, place, End::Server, Close::Abruptly);
            }
            return;
        };
        match what {
            Arrived::Opened => {
                let number = self.free.pop().unwrap_or_else(|| {
                    self.seats.push(None);
                    self.seats.len() as u32 - 1
                });
                self.seats[number as usize] = Some((device, place as u32));
                let conn = ConnId(number);
                strand.server = Some(conn);
                if self.start.is_none() {
                    core.may_be_heard_before_its_goodbye();
                }
                let room = strand.tell_room(End::Server);
                server.handle(now, Input::Opened { conn, via: Via::Listener(0), peer: Peer::default(), room });
            }
            Arrived::Bytes(count) => {
                let conn = strand.server;
                let bytes = strand.take(End::Server, count);
                if let Some(conn) = conn {
                    server.handle(now, Input::Bytes { conn, bytes });
                    if self.start.is_some() && !strand.device && strand.is_heard_out() {
                        core.heard_out(now, ConnId(place as u32), &mut self.floor);
                    }
                }
            }
            // What leads to a real server closes when that does.
            Arrived::Closed(how @ Closed::Finished) if self.start.is_none() => {
                if let Some(conn) = strand.server {
                    server.handle(now, Input::Closed { conn, how });
                }
            }
            Arrived::Closed(how) => {
                if let Some(conn) = strand.server.take() {
                    self.inbox.push_back(Told::Closed(conn, how));
                }
                if how == Closed::Finished {
                    line.close(now, place, End::Server, Close::Gracefully);
                }
            }
        }
        self.serve();
    }

    /// Does what a device wants done.
    pub(super) fn carry_out(&mut self, device: u32) {
        let now = self.now;
        let Post { line, device: core, .. } = &mut self.posts[device as usize];
        let mut closed = None;
        while let Some(output) = core.poll() {
            match output {
                Output::Open { ticket } => line.open(now, ticket),
                Output::Send { conn, head, tail } => line.send(now, conn.0 as usize, End::Device, head, tail),
                Output::Pause { conn, paused } => {
                    line.pause(now, conn.0 as usize, End::Device, paused);
                }
                Output::Close { conn, how } => {
                    line.close(now, conn.0 as usize, End::Device, how);
                    if let Some(strand) = line.strand(conn.0 as usize) {
                        strand.device = false;
                        closed = Some(conn);
                    }
                }
                Output::Ask { .. } | Output::Note { .. } => {}
            }
        }
        if let Some(conn) = closed {
            core.handle(now, Input::Closed { conn, how: Closed::Here }, &mut self.floor);
            self.carry_out(device);
        }
    }

    /// Tells the server what it is to be told, and does what it wants done, until neither is left.
    pub(super) fn serve(&mut self) {
        let now = self.now;
        loop {
            let Some(server) = &mut self.server else {
                self.inbox.clear();
                return;
            };
            while let Some(output) = server.poll() {
                match output {
                    Output::Send { conn, head, tail } => {
                        if let Some((device, place)) = self.seats.get(conn.0 as usize).copied().flatten() {
                            let post = &mut self.posts[device as usize];
                            post.line.send(now, place as usize, End::Server, head, tail);
                            post.plan(&mut self.wheel, now, device, None);
                        }
                    }
                    Output::Pause { conn, paused } => {
                        if let Some((device, place)) = self.seats.get(conn.0 as usize).copied().flatten() {
                            let post = &mut self.posts[device as usize];
                            post.line.pause(now, place as usize, End::Server, paused);
                            post.plan(&mut self.wheel, now, device, None);
                        }
                    }
                    Output::Close { conn, how } => {
                        if let Some((device, place)) = self.seats.get(conn.0 as usize).copied().flatten() {
                            let post = &mut self.posts[device as usize];
                            post.line.close(now, place as usize, End::Server, how);
                            if let Some(strand) = post.line.strand(place as usize) {
                                strand.server = None;
                            }
                            self.inbox.push_back(Told::Closed(conn, Closed::Here));
                            post.plan(&mut self.wheel, now, device, None);
                        }
                    }
                    Output::Ask { ticket, work } => self.inbox.push_back(Told::Answer(ticket, work())),
                    Output::Open { .. } | Output::Note { .. } => {}
                }
            }
            let Some(told) = self.inbox.pop_front() else { break };
            match told {
                Told::Closed(conn, how) => {
                    if self.seats[conn.0 as usize].take().is_some() {
                        self.free.push(conn.0);
                        server.handle(now, Input::Closed { conn, how });
                    }
                }
                Told::Answer(ticket, bytes) => server.handle(now, Input::Answer { ticket, bytes: &bytes }),
                Told::Wake => server.handle(now, Input::Wake),
            }
        }
        if let Some(at) = self.server.as_ref().and_then(|server| server.deadline()).map(|at| at.max(now))
            && at < self.server_due
        {
            self.server_due = at;
            self.wheel.push(at, Due::Server);
        }
    }

    /// Tells both ends of the connections of a device of room that they have again; gives whether the device was told.
    pub(super) fn look_for_room(&mut self, device: u32) -> bool {
        let mut told = false;
        for place in 0..self.posts[device as usize].line.places() {
            let Some(strand) = self.posts[device as usize].line.strand(place) else { continue };
            if let Some(conn) = strand.server
                && strand.has_room_again(End::Server)
            {
                let room = strand.tell_room(End::Server);
                if let Some(server) = &mut self.server {
                    server.handle(self.now, Input::Writable { conn, room });
                    self.serve();
                }
            }
            let Post { line, device: core, .. } = &mut self.posts[device as usize];
            let Some(strand) = line.strand(place) else { continue };
            if strand.device && strand.ticket.is_none() && strand.has_room_again(End::Device) {
                let room = strand.tell_room(End::Device);
                let conn = ConnId(place as u32);
                core.handle(self.now, Input::Writable { conn, room }, &mut self.floor);
                self.carry_out(device);
                told = true;
            }
        }
        told
    }
}
