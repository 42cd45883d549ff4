//! What an acknowledgement says: what has arrived, how long it took, and what the peer has out of order.

use super::segment::{Ack, Range};
use super::sender::{News, Outstanding, Rack, Resend, Sender, Sent, Side, State};

impl Side<'_> {
    /// Takes in the acknowledgement of a segment that came at this moment.
    pub(super) fn acknowledge(&mut self, ack: &Ack, data: bool) {
        let forgets_backoff = self.habits().forgets_backoff;
        let sender = &mut self.half.sender;
        let una = sender.una;
        let mut news = News { data, echo: ack.echo, ..News::default() };
        if ack.upto > sender.nxt {
            return;
        }
        if ack.upto < una {
            if ack.sacks().next().is_some() {
                self.take_sacks(ack, una, &mut news);
                let resend = self.alert(una, 0, &mut news);
                self.resend(resend);
            }
            return;
        }
        if ack.upto > una {
            news.advanced = true;
            sender.retries = 0;
            if forgets_backoff {
                sender.backoff = 0;
            }
        }
        let highest = self.highest_sacked();
        let had_sent = !self.out.sent.is_empty();
        let prior_sacked = self.out.sacked();
        let sender = &mut self.half.sender;
        news.wider = news.advanced || ack.edge > sender.edge;
        sender.edge = sender.edge.max(ack.edge);
        sender.una = ack.upto;
        if self.modern && ack.sacks().next().is_some() {
            self.take_sacks(ack, una, &mut news);
        }
        let lost_before = self.out.lost;
        if !had_sent {
            if news.dsack {
                self.alert(una, 0, &mut news);
            }
            self.window_opened();
            self.judge_probe(ack.upto, &news);
            return;
        }
        self.clean(una, highest, prior_sacked, &mut news);
        self.judge_probe(ack.upto, &news);
        let dubious = !(news.data || news.wider || news.acked) || news.sacked || self.out.state != State::Open;
        let mut resend = Resend::Nothing;
        if dubious {
            let duplicate = !(news.advanced || news.data || news.wider || news.acked || news.dsack);
            resend = self.alert(una, u32::from(duplicate), &mut news);
        }
        if news.set_timer && !self.plan_probe(true) {
            self.rearm();
        }
        let newly_lost = self.out.lost - lost_before.min(self.out.lost);
        if self.out.reducing() {
            self.reduce(news.delivered, newly_lost, news.advanced);
        } else if news.acked || (self.half.sender.reordering > 3 && news.sacked) {
            let (habits, now) = (self.habits(), self.micros);
            let sender = &mut self.half.sender;
            let least = sender.estimate.least().unwrap_or(0);
            sender.window.grow(now, news.delivered, least, habits);
        }
        self.resend(resend);
    }

    fn window_opened(&mut self) {
        let sender = &self.half.sender;
        if sender.nxt < sender.written && self.next_end() <= sender.edge {
            self.half.sender.backoff = 0;
            self.out.timer = None;
        }
    }

    /// The end of the highest range the peer has, as far as is known.
    pub(super) fn highest_sacked(&self) -> u64 {
        let last = self.out.sent.iter().rev().find(|sent| sent.sacked);
        last.map_or(self.half.sender.una, |sent| sent.range.end)
    }

    /// Marks what the peer has out of order, and notes what it got twice.
    fn take_sacks(&mut self, ack: &Ack, una: u64, news: &mut News) {
        let mut highest = self.highest_sacked();
        for (nth, range) in ack.sacks().enumerate() {
            let second = ack.sacks().nth(1);
            let inside = second.is_some_and(|next| nth == 0 && range.end <= next.end && range.start >= next.start);
            if nth == 0 && (range.start < ack.upto || inside) {
                self.note_duplicate(range, una, news);
                if !inside || range.end <= self.half.sender.una {
                    continue;
                }
            }
            let sender = &mut self.half.sender;
            let Outstanding { sent: all, rack, undo, undo_repeats, recover, .. } = &mut *self.out;
            for sent in all {
                let within = range.start <= sent.range.start && sent.range.end <= range.end;
                if !within || sent.range.end <= sender.una {
                    continue;
                }
                if nth == 0 && news.dsack && sent.ever {
                    if undo.is_some_and(|undo| sent.range.end > undo) && *undo_repeats > 0 {
                        *undo_repeats -= 1;
                    }
                    sent.repeated &= !sent.sacked;
                }
                if sent.sacked {
                    continue;
                }
                advance_rack(sender, rack, sent, self.micros);
                if sent.repeated {
                    if sent.lost {
                        (sent.lost, sent.repeated) = (false, false);
                    }
                } else {
                    if !sent.ever {
                        if sent.range.start < highest {
                            let low = news.reordered.unwrap_or(u64::MAX);
                            news.reordered = Some(low.min(sent.range.start));
                        }
                        news.original |= sent.range.end <= *recover;
                        let first = news.sacked_at.map_or(sent.at, |at| at.0);
                        news.sacked_at = Some((first, sent.at));
                    }
                    sent.lost = false;
                }
                sent.sacked = true;
                news.sacked = true;
                news.delivered += 1;
            }
            highest = highest.max(range.end);
        }
        if self.out.state != State::Loss || self.out.undo.is_some() {
            self.note_reordering(news.reordered);
        }
    }

    /// A range the peer got twice.
    fn note_duplicate(&mut self, range: Range, una: u64, news: &mut News) {
        let length = range.end - range.start;
        let segments = length.div_ceil(self.mss).max(1) as u32;
        news.dsack_probe = length <= self.mss && self.half.sender.probe.is_some_and(|probe| probe.0 == range.end);
        news.dsack = true;
        news.delivered += segments;
        if self.out.undo.is_some_and(|undo| range.end > undo) && self.out.undo_repeats > 0 && range.end <= una {
            self.out.undo_repeats = (self.out.undo_repeats - segments as i32).max(0);
        }
    }

    /// Something sent once arrived after its successors: the network reorders.
    pub(super) fn note_reordering(&mut self, low: Option<u64>) {
        let highest = self.highest_sacked();
        if let Some(low) = low.filter(|&low| low < highest) {
            let sender = &mut self.half.sender;
            let distance = (highest - low).div_ceil(self.mss);
            sender.reordering = sender.reordering.max(distance.min(255) as u8);
            sender.reordering_seen = true;
        }
    }

    /// Takes what is acknowledged off the list, and measures.
    fn clean(&mut self, una: u64, highest: u64, prior_sacked: u32, news: &mut News) {
        let upto = self.half.sender.una;
        let (mut first, mut last, mut acked, mut low) = (None, 0, 0u32, u64::MAX);
        let (echo, phase) = (news.echo, self.micros);
        let mut cut = 0;
        let Outstanding { sent: all, rack, recover, .. } = &mut *self.out;
        for sent in all.iter() {
            if sent.range.end > upto {
                break;
            }
            cut += 1;
            if sent.ever {
                news.repeated_acked = true;
            } else if !sent.sacked {
                first.get_or_insert(sent.at);
                last = sent.at;
                low = low.min(sent.range.start);
                news.original |= sent.range.end <= *recover;
            }
            if !sent.sacked && self.modern {
                news.delivered += 1;
                // The echo is older than the repetition: it was the original that arrived.
                let needless = sent.ever && echo > 0 && echo < sent.at / 1_000;
                if !needless {
                    advance_rack(&mut self.half.sender, rack, sent, phase);
                }
            }
            acked += 1;
            news.acked = true;
        }
        self.out.sent.drain(..cut);
        if !self.modern && acked > 0 {
            // One of the acknowledgements was for the hole, the others for what duplicates stood for.
            news.delivered += acked.saturating_sub(self.out.duplicates).max(1);
            self.out.duplicates = self.out.duplicates.saturating_sub(acked - 1);
            news.original &= !news.repeated_acked;
        }
        news.reneging = self.out.sent.first().is_some_and(|head| head.sacked);
        let mut sample = None;
        let mut latest = None;
        let mut delayed = false;
        if let (Some(first), false) = (first, news.repeated_acked) {
            sample = Some(self.micros - first);
            latest = Some(self.micros - last);
            let lone = acked == 1 && prior_sacked == 0 && upto - una < self.mss && news.delivered == 1;
            delayed = lone && !news.sacked && !news.dsack;
        }
        let sacked_sample = news.sacked_at.map(|(first, last)| (self.micros - first, self.micros - last));
        if let Some((first, last)) = sacked_sample {
            sample = sample.or(Some(first));
            latest = Some(last);
        }
        if sample.is_none() && self.modern && news.acked && echo > 0 {
            let millis = (self.micros / 1_000).saturating_sub(echo).max(1);
            sample = Some(millis * 1_000);
            latest = sample;
        }
        let measured = sample.is_some();
        if let (Some(sample), Some(latest)) = (sample, latest) {
            let (stack, now) = (self.half.stack, self.micros);
            let sender = &mut self.half.sender;
            sender.estimate.note_least(now, latest, delayed);
            sender.estimate.sample(stack, sample, sender.una, sender.nxt);
            sender.backoff = 0;
        }
        if news.acked {
            news.set_timer = true;
            if self.modern && low < highest {
                self.note_reordering(Some(low));
            }
        } else if let (Some((first, _)), Some(head), true) = (sacked_sample, self.out.sent.first(), measured)
            && first > self.micros - head.at
        {
            news.set_timer = true;
        }
    }
}

/// RACK remembers the latest sent of all that was delivered.
fn advance_rack(sender: &mut Sender, rack: &mut Rack, sent: &Sent, now: u64) {
    let rtt = now - sent.at;
    // Sooner than any round trip: this is for an earlier sending.
    if sent.ever && sender.estimate.least().is_some_and(|least| rtt < least) {
        return;
    }
    rack.advanced = true;
    sender.rack_rtt = u32::try_from(rtt).unwrap_or(u32::MAX);
    if (sent.at, sent.range.end) > (rack.sent, rack.end) {
        (rack.sent, rack.end) = (sent.at, sent.range.end);
    }
}
