//! SUBSCRIBE and SUBACK (3.8 and 3.9 of both standards), what filters match (4.7.1), overlapping subscriptions (3.3.4,
//! 3.3.5 of 3.1.1). What a subscription brings of retained messages is in [`super::retain_delivery`], and its identifier in
//! [`super::subscription_identifier`].

use harness::case::{Case, Outcome, Stop};

use super::expect::{Expected, accepted, suback, suback_with_less, unsuback};
use super::peer::Peer;
use super::script::{Again, Script, SubscribeScript, publish, subscribe, unsubscribe};
use super::supports::Capability;
use super::testbed::{Testbed, deviates};
use crate::packet::{
    Packet,
    PacketType::PubRec,
    Property::UserProperty,
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, SubscriptionOptions, Version,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("subscribe/suback-has-the-identifier", suback_has_the_identifier)
        .claim("each of several SUBSCRIBEs sent at once is answered by a SUBACK with its own packet identifier")
        .covers(&[
            "mqtt5:3.8.4-1",
            "mqtt5:3.8.4-2",
            "mqtt5:2.2.1-6",
            "mqtt311:3.8.4-1",
            "mqtt311:3.8.4-2",
            "mqtt311:2.3.1-7",
        ]),
    Case::new("subscribe/holds-from-suback-on", holds_from_suback_on)
        .claim("a message that is sent after SUBACK has come reaches the subscriber")
        .covers(&["mqtt5:ext-158"]),
    Case::new("subscribe/wildcards-are-granted", wildcards_are_granted)
        .claim("filters with wildcards are granted and bring messages")
        .covers(&["mqtt311:ext-070", "mqtt311:3.8.3-2"]),
    Case::new("subscribe/may-carry-user-properties", may_carry_user_properties)
        .claim("a SUBSCRIBE with user properties is granted and brings messages")
        .covers(&["mqtt5:ext-028", "mqtt5:3.8.4-1"]),
    Case::new("subscribe/may-be-sent-again-with-dup", may_be_sent_again_with_dup)
        .claim("a SUBSCRIBE of 3.1 with DUP set is granted like any other")
        .covers(&["mqtt31:diff-021"]),
    Case::new("subscribe/one-code-per-filter", one_code_per_filter)
        .claim("SUBACK has one code per filter, in the order of the filters, none above what was asked for")
        .covers(&[
            "mqtt5:3.8.4-5",
            "mqtt5:3.8.4-6",
            "mqtt5:3.8.4-7",
            "mqtt5:3.9.3-1",
            "mqtt5:3.9.3-2",
            "mqtt311:3.8.4-4",
            "mqtt311:3.8.4-5",
            "mqtt311:3.9.3-1",
            "mqtt311:3.9.3-2",
        ]),
    Case::new("subscribe/many-filters-at-once", many_filters_at_once)
        .claim("a SUBSCRIBE with a thousand filters gets a thousand codes, and each filter that is granted brings messages")
        .covers(&["mqtt5:3.8.4-5", "mqtt5:3.9.3-1", "mqtt311:3.8.4-4", "mqtt311:3.9.3-1"]),
    Case::new("subscribe/forbidden-filter-is-refused", forbidden_filter_is_refused)
        .claim("a filter its client may not subscribe to is refused in its place among others, and brings no messages")
        .covers(&["mqtt5:3.8.4-6", "mqtt5:3.9.3-1", "mqtt311:ext-067", "mqtt31:diff-019"])
        .exact_names(),
    Case::new("subscribe/identifier-in-use-is-reported-for-each-filter", identifier_in_use)
        .claim("a SUBACK that refuses because its packet identifier is in use says so for each filter")
        .covers(&["mqtt5:ext-165"]),
    Case::new("subscribe/last-of-a-repeated-filter-wins", last_of_a_repeated_filter_wins)
        .claim("a filter named several times in one SUBSCRIBE gets as many codes, and its last options hold")
        .covers(&["mqtt5:3.8.4-5", "mqtt5:3.8.4-6", "mqtt311:3.8.4-4", "mqtt311:ext-069"]),
    Case::new("subscribe/repeated-subscription-replaces", repeated_subscription_replaces)
        .claim("subscribing to a filter again replaces the subscription: one copy, at the new quality of service")
        .covers(&["mqtt5:3.8.4-3", "mqtt311:3.8.4-3", "mqtt311:ext-073"]),
    Case::new("subscribe/repeated-subscription-replaces-options", repeated_subscription_replaces_options)
        .claim("subscribing to a filter again replaces its options: No Local and Retain As Published are those asked for last")
        .covers(&["mqtt5:3.8.4-3"]),
    Case::new("subscribe/repeating-loses-no-message", repeating_loses_no_message)
        .claim("subscribing to a filter again does not interrupt the flow of messages")
        .covers(&["mqtt5:3.8.4-4", "mqtt311:3.8.4-3"]),
    Case::new("subscribe/started-delivery-outlives-a-lower-qos", started_delivery_outlives_a_lower_qos)
        .claim("a delivery at QoS 1 is sent again on the resumed session, although its filter was since subscribed to at QoS 0")
        .covers(&["mqtt5:4.4.0-1", "mqtt311:4.4.0-1"]),
    Case::new("subscribe/multi-level-wildcard", multi_level_wildcard)
        .claim("# matches the parent level and any number of levels below it, and nothing else")
        .covers(&["mqtt5:ext-197", "mqtt5:3.3.2-3", "mqtt311:ext-095", "mqtt311:ext-100", "mqtt311:3.3.2-3"]),
    Case::new("subscribe/single-level-wildcard", single_level_wildcard)
        .claim("+ matches exactly one level, which may be empty, and nothing else")
        .covers(&["mqtt5:ext-198", "mqtt5:ext-199", "mqtt311:ext-096", "mqtt311:ext-100", "mqtt311:3.3.2-3"]),
    Case::new("subscribe/misplaced-wildcard-is-refused", misplaced_wildcard_is_refused)
        .claim("a filter with a wildcard that does not fill its level, or a # that is not the last, is refused")
        .covers(&["mqtt5:4.7.1-1", "mqtt5:4.7.1-2", "mqtt311:4.7.1-2", "mqtt311:4.7.1-3", "mqtt311:ext-068"])
        .exact_names(),
    Case::new("subscribe/empty-filter-is-refused", empty_filter_is_refused)
        .claim("a filter without a character is refused")
        .covers(&["mqtt5:4.7.3-1", "mqtt311:4.7.3-1"]),
    Case::new("subscribe/reserved-option-bits-are-refused", reserved_option_bits_are_refused)
        .claim("a SUBSCRIBE whose options have a reserved bit or value is refused, all filters of it")
        .covers(&["mqtt5:3.8.3-5", "mqtt5:ext-152", "mqtt311:3.8.3-4"]),
    Case::new("subscribe/overlap-brings-the-highest-qos", overlap_brings_the_highest_qos)
        .claim("a message that several subscriptions of one client match comes at the highest of their levels")
        .covers(&["mqtt5:3.3.4-2", "mqtt5:ext-128", "mqtt311:3.3.5-1", "mqtt311:ext-063"]),
    Case::new("subscribe/no-local-holds-back-ones-own", no_local_holds_back_ones_own)
        .claim("with No Local a client does not hear what it publishes itself, but what others publish")
        .covers(&["mqtt5:3.8.3-3"]),
    Case::new("subscribe/identifier-in-use-by-the-server", identifier_in_use_by_the_server)
        .claim("SUBSCRIBE and UNSUBSCRIBE may use a packet identifier that a delivery of the server is using")
        .covers(&["mqtt5:ext-013", "mqtt311:ext-015"]),
];

fn suback_has_the_identifier(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    let ids = [1, 0x0100, 65_535];
    for id in ids {
        reader.send(subscribe(id).to(&format!("door/{id}"), AtMostOnce))?;
    }
    reader.expect_all(ids.map(|id| suback(id, &[Some(0)])))?;
    let writer = t.join("writer")?;
    for id in ids {
        writer.publish(publish(&format!("door/{id}"), id.to_string()))?;
    }
    reader.hears_all(ids.map(|id| id.to_string()))
}

fn may_carry_user_properties(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader
        .send(subscribe(7).to("door", AtMostOnce).with(UserProperty("why", "curious")).with(UserProperty("why", "")))?;
    reader.expect(suback(7, &[Some(0)]))?;
    t.join("writer")?.publish(publish("door", "open"))?;
    reader.hears(["open"])
}

/// As if the first had been lost, of which a server cannot know.
fn may_be_sent_again_with_dup(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.send(Again(subscribe(7).to("door", AtMostOnce)))?;
    reader.expect(suback(7, &[Some(0)]))?;
    t.join("writer")?.publish(publish("door", "open"))?;
    reader.hears(["open"])
}

fn holds_from_suback_on(t: &Testbed) -> Outcome {
    let (reader, writer) = (t.join("reader")?, t.join("writer")?);
    for number in 1..=20 {
        let topic = format!("door/{number}");
        reader.subscribe(&topic, AtMostOnce)?;
        writer.publish(publish(&topic, &topic))?;
    }
    reader.hears_all((1..=20).map(|number| format!("door/{number}")))
}

/// A server may have a limit on subscriptions, and says by the codes how far it went.
fn many_filters_at_once(t: &Testbed) -> Outcome {
    const FILTERS: usize = 1000;
    let reader = t.join("reader")?.patient();
    let topic = |number: usize| format!("wide/{number}");
    reader.send((0..FILTERS).fold(subscribe(7), |script, number| script.to(&topic(number), AtMostOnce)))?;
    let expected = Expected::new(
        format!("SUBACK for packet identifier 7 with {FILTERS} codes"),
        |packet| matches!(packet, Packet::SubAck(suback) if suback.packet_id.get() == 7 && suback.reasons.len() == FILTERS),
    );
    let came = reader.expect(expected).map_err(|stop| limited(t, &reader, FILTERS, stop))?;
    let Packet::SubAck(suback) = came.packet.packet() else { return Ok(()) };
    let granted: Vec<_> = (0..FILTERS).zip(suback.reasons.iter()).filter(|(_, reason)| !reason.is_error()).collect();
    let writer = t.join("writer")?;
    for (number, _) in &granted {
        writer.publish(publish(&topic(*number), topic(*number)))?;
    }
    reader.hears_all(granted.iter().map(|(number, _)| topic(*number)))
}

/// Before 5.0 nothing announces how long a packet may be, and SUBACK of 3.1 cannot refuse: a server that takes fewer
/// subscriptions than these, or no packet as long as this one, can only end the connection.
fn limited(t: &Testbed, reader: &Peer<'_>, filters: usize, stop: Stop) -> Stop {
    let ended = !t.v5() && reader.closes_by(t.now()).is_ok();
    if ended { Stop::Skip(format!("needs a server that takes {filters} subscriptions at once")) } else { stop }
}

/// 3.1 has no code for it: the filter is acknowledged like one that is granted. What is sent to it would come before the
/// message to the last filter, for that is sent later and by the same client.
fn forbidden_filter_is_refused(t: &Testbed) -> Outcome {
    t.needs(Capability::ForbiddenFilter)?;
    let forbidden = t.supports().forbidden_filter.clone().unwrap_or_default();
    let reader = t.join("reader")?;
    reader.hear_everything()?;
    reader.send(subscribe(7).to("door", AtMostOnce).to_exactly(&forbidden, AtMostOnce).to("bell", AtMostOnce))?;
    let refused = (t.version() != Version::V31).then_some([Some(0), None, Some(0)]);
    let answer = suback(7, &refused.unwrap_or([Some(0); 3]));
    if reader.refused_by(answer, &[ReasonCode::NotAuthorized])?.is_none() {
        return Ok(());
    }
    let writer = t.join("writer")?;
    writer.send(publish("door", "open"))?;
    writer.send(publish(&forbidden, "forbidden").exact())?;
    writer.send(publish("bell", "rings"))?;
    reader.hears(["open", "rings"])
}

/// The tester breaks the standard in the identifier. No reaction to that is prescribed but that one error is reported for
/// each filter; to grant the filters, or to close, is as good.
fn identifier_in_use(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    let client = t.join("client")?;
    client.send(publish("door", "open").exactly_once(7))?;
    client.expect(accepted(PubRec, 7))?;
    client.send(subscribe(7).to("door", AtMostOnce).to("gate", AtMostOnce).to("bell", AtMostOnce))?;
    let expected = Expected::new("SUBACK with reason code 0x91 for all filters or for none", |packet| {
        let Packet::SubAck(suback) = packet else { return false };
        let in_use = suback.reasons.iter().filter(|reason| *reason == ReasonCode::PacketIdentifierInUse).count();
        suback.reasons.len() == 3 && (in_use == 0 || in_use == 3)
    });
    client.refused_by(expected, &[ReasonCode::PacketIdentifierInUse, ReasonCode::ProtocolError]).map(drop)
}

/// A server without wildcards must refuse them, by SUBACK or by the end of the connection, and should have them.
fn wildcards_are_granted(t: &Testbed) -> Outcome {
    let writer = t.join("writer")?;
    for filter in ["door/+", "gate/#", "bell"] {
        let reader = t.join("reader")?;
        reader.send(subscribe(7).to(filter, AtMostOnce))?;
        let answer = reader.refused_by(suback(7, &[Some(0)]).or(suback(7, &[None])), &[])?;
        let granted = answer.is_some_and(
            |came| matches!(came.packet.packet(), Packet::SubAck(suback) if !suback.reasons.iter().any(ReasonCode::is_error)),
        );
        if granted || filter == "bell" {
            let topic = filter.replace(['+', '#'], "1");
            writer.publish(publish(&topic, &topic))?;
            reader.hears([topic])?;
        } else {
            t.remark(Some("mqtt311:ext-070"), format!("{filter:?} granted"), "a refusal");
        }
        reader.leave()?;
    }
    Ok(())
}

/// A server may grant less than was asked for, or refuse what is beyond its limit, so the order shows in what exceeds a
/// request: the requests ascend.
fn one_code_per_filter(t: &Testbed) -> Outcome {
    let asked: Vec<_> = (0..30).map(|number| [AtMostOnce, AtMostOnce, AtLeastOnce, ExactlyOnce][number / 8]).collect();
    let reader = t.join("reader")?;
    let script = asked.iter().enumerate().fold(subscribe(7), |s, (number, qos)| s.to(&format!("door/{number}"), *qos));
    reader.send(script)?;
    let limits: Vec<_> = asked.iter().map(|qos| Some(*qos as u8)).collect();
    let fits = suback_with_less(7, &limits);
    let expected = Expected::new("SUBACK with 30 codes, none above what was asked for", fits.accepts);
    let came = reader.expect(expected).map_err(|stop| limited(t, &reader, asked.len(), stop))?;
    let Packet::SubAck(suback) = came.packet.packet() else { return Ok(()) };
    let granted: Vec<_> = (0..).zip(suback.reasons.iter()).filter(|(_, reason)| !reason.is_error()).collect();
    let writer = t.join("writer")?;
    for number in 0..asked.len() {
        writer.publish(publish(&format!("door/{number}"), number.to_string()))?;
    }
    reader.hears_all(granted.iter().map(|(number, _): &(usize, _)| number.to_string()))
}

/// In each, the last level is another one of the first, the lowest and the highest. Where it is QoS 0 a second copy is legal,
/// so nothing is sent behind.
fn last_of_a_repeated_filter_wins(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let writer = t.join("writer")?;
    for asked in [&[AtLeastOnce, AtMostOnce, AtLeastOnce][..], &[AtLeastOnce, AtMostOnce], &[AtMostOnce, AtLeastOnce]] {
        let reader = t.join("reader")?;
        reader.send(asked.iter().fold(subscribe(7), |script, qos| script.to("door", *qos)))?;
        let codes: Vec<_> = asked.iter().map(|qos| Some(*qos as u8)).collect();
        reader.expect(suback(7, &codes))?;
        let last = asked[asked.len() - 1];
        for message in if last == AtMostOnce { &["open"][..] } else { &["open", "shut"] } {
            writer.publish(publish("door", message).at(AtLeastOnce, 0))?;
            comes_at(&reader, message, last as u8)?;
        }
        reader.leave()?;
    }
    Ok(())
}

/// One's own message comes, or another's shows that it does not; either with RETAIN as asked for.
fn repeated_subscription_replaces_options(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let (reader, writer) = (t.join("reader")?, t.join("writer")?);
    for (no_local, retain_as_published) in [(true, false), (false, true), (true, true), (false, false)] {
        let options = SubscriptionOptions { no_local, retain_as_published, ..SubscriptionOptions::default() };
        reader.subscribe_with(subscribe(1).with_options("door", options))?;
        for (publisher, payload, comes) in [(&reader, "one's own", !no_local), (&writer, "another's", true)] {
            publisher.publish(publish("door", payload).retained())?;
            publisher.ping()?;
            if comes {
                let came = reader.delivery(&format!("{payload:?}"))?;
                let right = came.text() == payload && came.retain == retain_as_published;
                let expected = format!("{payload:?} with RETAIN {}", u8::from(retain_as_published));
                t.judge(right, expected, || came.words.clone())?;
            }
        }
        // Nothing is left that the next subscription would bring.
        writer.publish(publish("door", "").retained())?;
        reader.hears([""])?;
    }
    Ok(())
}

/// The message after each is the fence for a second copy; the last grant is QoS 0, where a second copy is legal.
fn repeated_subscription_replaces(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    let writer = t.join("writer")?;
    for (message, granted) in [("one", AtMostOnce), ("two", AtLeastOnce), ("three", AtLeastOnce), ("four", AtMostOnce)]
    {
        reader.subscribe("door", granted)?;
        let sent = if message == "one" { AtMostOnce } else { AtLeastOnce };
        writer.publish(publish("door", message).at(sent, 0))?;
        comes_at(&reader, message, granted as u8)?;
    }
    Ok(())
}

/// The reader repeats its SUBSCRIBE without waiting for anything, while the messages are on their way.
fn repeating_loses_no_message(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    let numbers: Vec<String> = (1..=20).map(|number: u16| number.to_string()).collect();
    for number in &numbers {
        reader.send(subscribe(t.fresh_id()).to("door", AtLeastOnce))?;
        writer.publish(publish("door", number).at(AtLeastOnce, 0))?;
    }
    reader.hears(&numbers)
}

/// The bell keeps a subscription at QoS 1 in the session: not every server calls one present that has none.
fn started_delivery_outlives_a_lower_qos(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.subscribe("bell", AtLeastOnce)?;
    t.join("writer")?.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    reader.delivery("the first delivery")?;
    reader.subscribe("door", AtMostOnce)?;

    let reader = reader.drop_and_resume()?;
    reader.hears(["open"])
}

fn multi_level_wildcard(t: &Testbed) -> Outcome {
    let all = ["sport", "sport/", "sport/tennis", "sport//x", "sport/a/b/c/d", "sport/$x"];
    matches(t, "sport/#", &all, &["sports", "Sport", "Sport/a", "/sport", "spor"])?;
    matches(t, "sport/tennis/#", &["sport/tennis", "sport/tennis/"], &["sport", "sport/tennisx", "sport/"])?;
    matches(t, "/#", &["/", "/finance", "//", "/$x"], &["finance", "finance/"])?;
    matches(t, "#", &["sport", "/", "a/b/c/d", "$a"], &[])
}

fn single_level_wildcard(t: &Testbed) -> Outcome {
    matches(t, "sport/+", &["sport/", "sport/a", "sport/$x"], &["sport", "sport/a/b", "sport//", "sports/a"])?;
    matches(t, "+", &["finance", "$x"], &["/finance", "/", "finance/"])?;
    matches(t, "+/+", &["/finance", "/", "a/b", "a/"], &["a", "a/b/c", "//"])?;
    matches(t, "/+", &["/finance", "/"], &["finance", "/a/b"])?;
    matches(t, "a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c", "a/b/c/", "A/b/c"])?;
    matches(
        t,
        "+/tennis/#",
        &["sport/tennis", "/tennis", "sport/tennis/a/b"],
        &["tennis", "a/b/tennis", "sport/Tennis"],
    )
}

/// Those that match come after the others, in any order, and nothing else before the fence that follows.
fn matches(t: &Testbed, filter: &str, matching: &[&str], others: &[&str]) -> Outcome {
    t.needs(Capability::Wildcards)?;
    let reader = t.join("reader")?;
    reader.subscribe(filter, AtMostOnce)?;
    let writer = t.join("writer")?;
    for topic in others.iter().chain(matching) {
        writer.publish(publish(topic, topic))?;
    }
    reader.hears_all(matching)?;
    reader.ping()?;
    reader.heard_nothing(&format!("nothing but what {filter:?} matches"))?;
    writer.leave()?;
    reader.leave()
}

/// Each on a connection of its own, which may end by it. The short ones are exact: some servers pass over the rules in
/// filters of two characters.
fn misplaced_wildcard_is_refused(t: &Testbed) -> Outcome {
    t.needs(Capability::Wildcards)?;
    for filter in ["sport/tennis#", "sport/#/ranking", "a/##", "#/a", "sport+", "a/+b/c", "a/b+", "a/++"] {
        filter_is_refused(t, subscribe(7).to(filter, AtMostOnce))?;
    }
    for filter in ["a#", "##", "#a", "a+", "+a", "++", "#/#", "+#"] {
        filter_is_refused(t, subscribe(7).to_exactly(filter, AtMostOnce))?;
    }
    Ok(())
}

fn empty_filter_is_refused(t: &Testbed) -> Outcome {
    filter_is_refused(t, subscribe(7).to_exactly("", AtMostOnce))
}

/// By SUBACK with an error code, or by the end of the connection: the standards leave it open.
pub(super) fn filter_is_refused(t: &Testbed, script: SubscribeScript) -> Outcome {
    let reasons = [ReasonCode::TopicFilterInvalid, ReasonCode::MalformedPacket, ReasonCode::ProtocolError];
    let reader = t.join("reader")?;
    reader.send(script)?;
    t.due_since_311(reader.refused_by(suback(7, &[None]), &reasons).map(drop))?;
    reader.leave()
}

/// No encoder writes such options: the byte of the second filter is overwritten.
fn reserved_option_bits_are_refused(t: &Testbed) -> Outcome {
    // Retain Handling 3 is the one value that 5.0 reserves besides the two bits; before 5.0 all six bits are reserved.
    let options: &[u8] = if t.v5() { &[0x40, 0x80, 0xC1, 0x30] } else { &[0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] };
    for options in options {
        let reader = t.join("reader")?;
        let mut bytes = subscribe(7).to("door", AtMostOnce).to("bell", AtMostOnce).wire(t)?;
        if let Some(last) = bytes.last_mut() {
            *last = *options;
        }
        reader.send_raw(&bytes)?;
        reader.refused(&[ReasonCode::MalformedPacket, ReasonCode::ProtocolError])?;
    }
    Ok(())
}

/// Which of two subscriptions a server finds first depends on their shape, so each shape is the higher one beside each other.
fn overlap_brings_the_highest_qos(t: &Testbed) -> Outcome {
    t.needs(Capability::Wildcards)?;
    let pairs = [("+", "1"), ("1", "+"), ("#", "1"), ("1", "#"), ("+", "#"), ("#", "+")];
    let pairs = pairs.into_iter().flat_map(|(higher, lower)| [true, false].map(|first| (higher, lower, first)));
    pairs.into_iter().try_for_each(|(higher, lower, first)| overlap_brings_that_of(t, higher, lower, first))
}

/// Of two filters that match one topic, the one that ends like `higher` is subscribed to at QoS 1, the other at QoS 0. One copy at
/// the higher level is as good as one copy per subscription, as long as one has the higher level, be it the first of the two
/// or the second.
fn overlap_brings_that_of(t: &Testbed, higher: &str, lower: &str, first: bool) -> Outcome {
    let reader = t.join("reader")?;
    let mut both = [(higher, AtLeastOnce), (lower, AtMostOnce)];
    if !first {
        both.reverse();
    }
    for (filter, qos) in both {
        reader.subscribe(&format!("door/{filter}"), qos)?;
    }
    let writer = t.join("writer")?;
    writer.publish(publish("door/1", "open").at(AtLeastOnce, 0))?;
    writer.leave()?;
    let expected = format!("one or two copies, one of them at QoS 1, as door/{higher} was subscribed to");
    for _ in 0..2 {
        let copy = reader.delivery(&expected)?;
        t.judge(copy.text() == "open", "nothing but copies of one message", || copy.words.clone())?;
        reader.acknowledge(&copy)?;
        if copy.qos == AtLeastOnce {
            return reader.leave();
        }
    }
    Err(deviates(expected, "two copies at QoS 0"))
}

/// The message of the other client, on the same topic, is the fence for one's own.
fn no_local_holds_back_ones_own(t: &Testbed) -> Outcome {
    let local = SubscriptionOptions { no_local: true, ..SubscriptionOptions::default() };
    let reader = t.join("reader")?;
    reader.subscribe_with(subscribe(7).with_options("door", local).to("bell", AtMostOnce))?;
    reader.publish(publish("door", "one's own"))?;
    reader.publish(publish("bell", "rings"))?;
    reader.ping()?;
    t.join("writer")?.publish(publish("door", "another's"))?;
    reader.hears_all(["rings", "another's"])
}

/// The two number spaces are independent.
fn identifier_in_use_by_the_server(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let client = t.join("client")?;
    client.subscribe("door", AtLeastOnce)?;
    t.join("other")?.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    let open = client.delivery("a message to acknowledge later")?;
    client.send(subscribe(open.id).to("bell", AtMostOnce))?;
    client.expect(suback(open.id, &[Some(0)]))?;
    client.send(unsubscribe(open.id, ["bell"]))?;
    client.expect(unsuback(open.id, 1))?;
    client.acknowledge(&open)?;
    client.still_served()
}

/// The next message is this one, at this quality of service; it is acknowledged.
fn comes_at(reader: &Peer<'_>, payload: &str, qos: u8) -> Outcome {
    let expected = format!("{payload:?} at QoS {qos}");
    let came = reader.delivery(&expected)?;
    if came.text() != payload || came.qos as u8 != qos {
        return Err(deviates(expected, came.words));
    }
    reader.acknowledge(&came)
}
