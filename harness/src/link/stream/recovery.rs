//! What a sender does about loss: RACK, tail-loss probes, fast recovery with PRR, time-outs with F-RTO, and taking all
//! that back when it turns out needless.

use super::sender::{News, Push, Resend, Side, State, Timer};

impl Side<'_> {
    /// The timer has fired. Tells whether the connection is to be given up.
    pub(super) fn fire(&mut self, timer: Timer) -> bool {
        match timer {
            Timer::Probe => self.send_probe(),
            Timer::Reorder => self.reorder_over(),
            Timer::Persist => {
                self.half.sender.backoff += 1;
                if self.half.sender.backoff > self.habits().retries {
                    return true;
                }
                self.emit(super::segment::Body::Ask);
                self.set_timer(Timer::Persist, self.rto());
            }
            Timer::TimeOut => return self.time_out(),
        }
        false
    }

    /// Something at the tail may be lost and nothing follows that would show it: send what is new, or the last again.
    fn send_probe(&mut self) {
        self.out.timer = Some((Timer::Probe, self.now));
        if self.half.sender.probe.is_none() {
            let sender = &self.half.sender;
            let room = sender.nxt < sender.written && sender.nxt < sender.edge;
            let sent = if room {
                self.push(Push::Probe)
            } else {
                let last = self.out.sent.len().checked_sub(1);
                if let Some(last) = last {
                    self.repeat(last);
                    self.out.sent[last].ever = true;
                }
                last.is_some()
            };
            if sent {
                self.half.sender.probe = Some((self.half.sender.nxt, !room));
                // The time-out counts from now.
                self.out.timer = None;
            }
        }
        self.rearm();
    }

    /// The acknowledgement of a probe tells whether it repaired a loss.
    pub(super) fn judge_probe(&mut self, upto: u64, news: &News) {
        let Some((end, repeated)) = self.half.sender.probe else { return };
        if upto < end {
            return;
        }
        if !repeated || news.dsack_probe {
            self.half.sender.probe = None;
        } else if upto > end {
            self.begin_reduction();
            self.out.state = State::Reduced;
            self.end_reduction();
            self.keep_open();
        } else if !(news.advanced || news.data || news.wider || news.acked || news.sacked) {
            self.half.sender.probe = None;
        }
    }

    fn begin_reduction(&mut self) {
        let (habits, nxt) = (self.habits(), self.half.sender.nxt);
        self.half.sender.probe = None;
        self.out.recover = nxt;
        self.out.before_size = self.half.sender.window.size();
        self.out.delivered = 0;
        self.out.reduced_out = 0;
        self.half.sender.window.lower_threshold(habits);
    }

    fn end_reduction(&mut self) {
        if self.out.state == State::Reduced || self.out.undo.is_some() {
            let (now, window) = (self.micros, &mut self.half.sender.window);
            window.set(window.threshold(), now);
        }
    }

    /// Proportional rate reduction (RFC 6937): as much goes out as was delivered, shrinking towards the threshold.
    pub(super) fn reduce(&mut self, delivered: u32, newly_lost: u32, advanced: bool) {
        if delivered == 0 || self.out.before_size == 0 {
            return;
        }
        let (flight, threshold) = (self.out.in_flight(), self.half.sender.window.threshold());
        self.out.delivered += delivered;
        let mut more = if flight > threshold {
            let due = u64::from(threshold) * u64::from(self.out.delivered) + u64::from(self.out.before_size) - 1;
            (due / u64::from(self.out.before_size)) as i64 - i64::from(self.out.reduced_out)
        } else {
            let mut more = (i64::from(self.out.delivered) - i64::from(self.out.reduced_out)).max(i64::from(delivered));
            if advanced && newly_lost == 0 {
                more += 1;
            }
            more.min(i64::from(threshold - flight))
        };
        more = more.max(i64::from(self.out.reduced_out == 0));
        let now = self.micros;
        self.half.sender.window.set((i64::from(flight) + more).max(1) as u32, now);
    }

    fn keep_open(&mut self) {
        let left = self.out.sacked() + self.out.lost() > 0 || self.out.any_repeat();
        let state = if left { State::Disorder } else { State::Open };
        if self.out.state != state {
            self.out.state = state;
            self.out.recover = self.half.sender.nxt;
        }
    }

    fn begin_undo(&mut self) {
        self.out.undo = Some(self.half.sender.una);
        let probe = self.half.sender.probe.is_some_and(|probe| probe.1);
        let repeats = self.out.repeated() as i32 + i32::from(probe);
        // None to come means "not yet", not "all were needless".
        self.out.undo_repeats = if repeats == 0 { -1 } else { repeats };
    }

    fn enter_recovery(&mut self) {
        if !self.out.any_repeat() {
            self.out.first_repeat = None;
        }
        self.out.before_threshold = 0;
        self.begin_undo();
        if !self.out.reducing() {
            self.out.before_threshold = self.half.sender.window.present_threshold(false);
            self.begin_reduction();
        }
        self.out.state = State::Recovery;
    }

    /// Whether the acknowledgement is for something sent before the first repetition.
    fn delayed(&self, news: &News) -> bool {
        self.modern
            && match self.out.first_repeat {
                Some(first) => news.echo > 0 && news.echo < first / 1_000,
                None => true,
            }
    }

    fn may_undo(&self, news: &News) -> bool {
        self.out.undo.is_some() && (self.out.undo_repeats == 0 || self.delayed(news))
    }

    fn undo(&mut self, unmark: bool) {
        if unmark {
            for sent in &mut self.out.sent {
                sent.lost = false;
            }
        }
        let now = self.micros;
        let window = &mut self.half.sender.window;
        if self.out.before_threshold > 0 {
            window.restore(self.out.before_size, self.out.before_threshold, now);
        }
        self.out.undo = None;
        self.out.rack.advanced = true;
    }

    fn undo_recovery(&mut self, news: &News) {
        if self.may_undo(news) {
            self.undo(false);
        }
        if !self.modern && self.half.sender.una == self.out.recover {
            // Without SACK the state is held until something later is acknowledged, against false fast retransmits.
            if !self.out.any_repeat() {
                self.out.first_repeat = None;
            }
            return;
        }
        self.out.state = State::Open;
    }

    fn undo_duplicates(&mut self) -> bool {
        let needless = self.out.undo.is_some() && self.out.undo_repeats == 0;
        if needless {
            self.undo(false);
        }
        needless
    }

    fn undo_loss(&mut self, by_frto: bool, news: &News) -> bool {
        if !by_frto && !self.may_undo(news) {
            return false;
        }
        self.undo(true);
        self.half.sender.retries = 0;
        if by_frto || self.modern {
            self.out.state = State::Open;
        }
        true
    }

    /// An acknowledgement that is not plain, or a state that is not open.
    pub(super) fn alert(&mut self, una: u64, duplicates: u32, news: &mut News) -> Resend {
        if news.reneging && news.advanced {
            let pause = (self.half.sender.estimate.smoothed().unwrap_or(0) / 2).max(10_000);
            self.set_timer(Timer::TimeOut, pause);
            news.set_timer = false;
            return Resend::Nothing;
        }
        let mut resend = Resend::Nothing;
        if self.out.state == State::Open {
            self.out.first_repeat = None;
        } else if self.half.sender.una >= self.out.recover {
            match self.out.state {
                State::Reduced if self.half.sender.una != self.out.recover => {
                    self.end_reduction();
                    self.out.state = State::Open;
                }
                State::Recovery => {
                    self.out.duplicates = 0;
                    self.undo_recovery(news);
                    if self.out.state == State::Recovery {
                        return Resend::Nothing;
                    }
                    if self.out.undo.is_some() {
                        let (now, window) = (self.micros, &mut self.half.sender.window);
                        window.set(window.threshold(), now);
                    }
                }
                _ => {}
            }
        }
        match self.out.state {
            State::Recovery => {
                if !news.advanced {
                    self.add_duplicates(duplicates);
                } else if self.undo_partial(una, news) {
                    return Resend::Nothing;
                }
                if self.undo_duplicates() {
                    self.try_open();
                }
                self.find_lost(news);
                if self.out.state != State::Recovery {
                    if self.out.lost() == 0 {
                        return Resend::Nothing;
                    }
                    self.enter_recovery();
                }
            }
            State::Loss => {
                resend = self.in_loss(duplicates, news);
                self.find_lost(news);
                if self.out.state == State::Open || news.lost_repeat {
                    if !self.ordinary(duplicates, news) {
                        return resend;
                    }
                } else {
                    return resend;
                }
            }
            _ => {
                if !self.ordinary(duplicates, news) {
                    return resend;
                }
            }
        }
        Resend::Lost
    }

    /// The states without recovery. Tells whether one begins.
    fn ordinary(&mut self, duplicates: u32, news: &mut News) -> bool {
        if news.advanced {
            self.out.duplicates = 0;
        }
        self.add_duplicates(duplicates);
        if self.out.state <= State::Disorder {
            self.undo_duplicates();
        }
        self.find_lost(news);
        if self.out.lost() == 0 {
            self.try_open();
            return false;
        }
        self.enter_recovery();
        true
    }

    fn add_duplicates(&mut self, duplicates: u32) {
        if !self.modern {
            let most = (self.out.sent.len() as u32).saturating_sub(self.out.lost().max(1));
            self.out.duplicates = (self.out.duplicates + duplicates).min(most);
        }
    }

    fn try_open(&mut self) {
        if !self.out.any_repeat() {
            self.out.first_repeat = None;
        }
        if self.out.state != State::Reduced {
            self.keep_open();
        }
    }

    /// A part of what was out is acknowledged during recovery. Tells whether nothing more is to be done.
    fn undo_partial(&mut self, una: u64, news: &News) -> bool {
        if self.out.undo.is_some() && self.delayed(news) {
            self.note_reordering(Some(una));
            if self.out.repeated() > 0 {
                return true;
            }
            if !self.out.any_repeat() {
                self.out.first_repeat = None;
            }
            self.undo(true);
            self.keep_open();
        }
        false
    }

    /// After a time-out: was it one (F-RTO, RFC 5682), and is it over?
    fn in_loss(&mut self, duplicates: u32, news: &News) -> Resend {
        let recovered = self.half.sender.una >= self.out.recover;
        if news.advanced && self.undo_loss(false, news) {
            return Resend::Nothing;
        }
        if self.out.doubtful {
            if news.original && self.undo_loss(true, news) {
                return Resend::Nothing;
            }
            let sender = &self.half.sender;
            if sender.nxt > self.out.recover {
                if news.sacked || duplicates > 0 {
                    self.out.doubtful = false;
                }
            } else if news.advanced && !recovered {
                self.out.recover = sender.nxt;
                if sender.nxt < sender.written && sender.nxt < sender.edge {
                    return Resend::New;
                }
                self.out.doubtful = false;
            }
        }
        if recovered {
            self.undo_recovery(news);
            return Resend::Nothing;
        }
        if !self.modern {
            if self.half.sender.nxt > self.out.recover && duplicates > 0 {
                self.add_duplicates(duplicates);
            } else if news.advanced {
                self.out.duplicates = 0;
            }
        }
        Resend::Lost
    }

    /// Marks what must be lost by what has arrived.
    fn find_lost(&mut self, news: &mut News) {
        if self.out.sent.is_empty() {
            return;
        }
        if !self.modern {
            let state = self.out.state;
            let third = state < State::Recovery && self.out.duplicates >= 3;
            if third || (state == State::Recovery && news.advanced) {
                self.mark_lost(0);
            }
            return;
        }
        if !self.out.rack.advanced {
            return;
        }
        self.out.rack.advanced = false;
        let before = self.out.repeated();
        if let Some(micros) = self.detect() {
            let rto = self.rto();
            self.set_timer(Timer::Reorder, (micros + 2_000).min(rto));
            news.set_timer = false;
        }
        news.lost_repeat |= before > self.out.repeated();
    }

    /// How long RACK lets an overtaken segment come in late.
    fn reordering_window(&self) -> u64 {
        let sender = &self.half.sender;
        if !sender.reordering_seen
            && (self.out.state >= State::Recovery || self.out.sacked() >= u32::from(sender.reordering))
        {
            return 0;
        }
        let quarter = sender.estimate.least().unwrap_or(0) / 4;
        (quarter * u64::from(sender.reorder_steps)).min(sender.estimate.smoothed().unwrap_or(0))
    }

    /// RACK: lost is what was sent before something that has arrived, a round trip and a reordering window ago. Gives
    /// how long to wait for what may yet come.
    fn detect(&mut self) -> Option<u64> {
        let window = self.reordering_window();
        let (rack, rtt) = (self.out.rack, u64::from(self.half.sender.rack_rtt));
        let mut wait = None;
        for nth in 0..self.out.sent.len() {
            let sent = self.out.sent[nth];
            if sent.sacked || (sent.lost && !sent.repeated) {
                continue;
            }
            if (rack.sent, rack.end) <= (sent.at, sent.range.end) {
                continue;
            }
            let left = (rtt + window) as i64 - (self.micros - sent.at) as i64;
            if left <= 0 {
                self.mark_lost(nth);
            } else {
                wait = wait.max(Some(left as u64));
            }
        }
        wait
    }

    fn mark_lost(&mut self, nth: usize) {
        let sent = &mut self.out.sent[nth];
        if sent.sacked {
            return;
        }
        if !sent.lost {
            sent.lost = true;
            self.out.lost += 1;
        } else if sent.repeated {
            sent.repeated = false;
            self.out.lost += 1;
        }
    }

    fn reorder_over(&mut self) {
        let (flight, lost) = (self.out.in_flight(), self.out.lost);
        self.out.timer = Some((Timer::Reorder, self.now));
        self.detect();
        if flight != self.out.in_flight() {
            if self.out.state != State::Recovery {
                self.enter_recovery();
                let newly = self.out.lost - lost;
                self.reduce(1, newly, false);
            }
            self.resend_lost();
        }
        self.rearm();
    }

    /// Sends what the recovery has decided on.
    pub(super) fn resend(&mut self, what: Resend) {
        match what {
            Resend::Nothing => {}
            Resend::New => {
                self.push(Push::Normal);
                if self.half.sender.nxt <= self.out.recover {
                    self.out.doubtful = false;
                    self.resend_lost();
                }
            }
            Resend::Lost => self.resend_lost(),
        }
    }

    fn resend_lost(&mut self) {
        let (mut nth, mut rearm) = (0, false);
        while nth < self.out.sent.len() {
            if self.out.in_flight() >= self.half.sender.window.size() || self.out.repeated() >= self.out.lost() {
                break;
            }
            let sent = self.out.sent[nth];
            if sent.lost && !sent.sacked && !sent.repeated {
                self.repeat_counted(nth);
                if self.out.reducing() {
                    self.out.reduced_out += 1;
                }
                rearm |= nth == 0 && !matches!(self.out.timer, Some((Timer::Reorder, _)));
            }
            nth += 1;
        }
        if rearm {
            let rto = self.rto();
            self.set_timer(Timer::TimeOut, rto);
        }
    }

    /// The time-out: everything is believed lost but what was sent a moment ago. Tells whether to give up.
    fn time_out(&mut self) -> bool {
        if self.out.sent.is_empty() {
            self.out.timer = None;
            return false;
        }
        self.half.sender.probe = None;
        if self.given_up() {
            return true;
        }
        let fresh = self.out.state < State::Recovery;
        let rtt = u64::from(self.half.sender.rack_rtt);
        let reneged = self.out.sent[0].sacked;
        self.out.duplicates = 0;
        for nth in 0..self.out.sent.len() {
            let sent = &mut self.out.sent[nth];
            if reneged {
                sent.sacked = false;
            } else if self.modern && nth != 0 && rtt > self.micros - sent.at {
                continue;
            }
            self.mark_lost(nth);
        }
        let (habits, now) = (self.habits(), self.micros);
        let passed = self.half.sender.una >= self.out.recover;
        let again = self.out.state == State::Loss && self.half.sender.retries == 0;
        if self.out.state <= State::Disorder || passed || again {
            self.out.before_threshold = self.half.sender.window.present_threshold(self.out.reducing());
            self.out.before_size = self.half.sender.window.size();
            self.half.sender.window.lower_threshold(habits);
            self.begin_undo();
        }
        let window = self.out.in_flight() + 1;
        self.half.sender.window.forget();
        self.half.sender.window.set(window, now);
        if self.out.state <= State::Disorder && self.out.sacked() >= 3 {
            self.half.sender.reordering = self.half.sender.reordering.min(3);
        }
        self.out.state = State::Loss;
        self.out.recover = self.half.sender.nxt;
        self.out.doubtful = self.modern && (fresh || self.half.sender.retries > 0);
        self.half.sender.retries = self.half.sender.retries.saturating_add(1);
        self.repeat_counted(0);
        self.half.sender.backoff += 1;
        let rto = self.rto();
        self.set_timer(Timer::TimeOut, rto);
        false
    }

    /// Linux counts not the retransmissions but the time they would have taken from the least time-out on.
    fn given_up(&self) -> bool {
        let habits = self.habits();
        if !self.modern {
            return self.half.sender.retries >= habits.retries;
        }
        let even = (habits.most_rto / habits.least_rto).ilog2();
        let doubled = u32::from(habits.retries).min(even);
        let allowed =
            ((2 << doubled) - 1) * habits.least_rto + u64::from(u32::from(habits.retries) - doubled) * habits.most_rto;
        self.half.sender.retries > 0 && self.out.first_repeat.is_some_and(|first| self.micros - first >= allowed)
    }
}
