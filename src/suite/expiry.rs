//! Message expiry (3.3.2.3.3 of 5.0): how long a message is worth delivering, and what is left of it at delivery.

use std::time::Duration;

use harness::case::{Case, Outcome};

use super::expect::accepted;
use super::flow_control::is_full;
use super::peer::{Delivery, Peer};
use super::retain::is_there;
use super::script::{PublishScript, pubcomp, publish, pubrec, pubrel, will};
use super::supports::Capability;
use super::testbed::{Testbed, as_step, deviates};
use crate::packet::{
    PacketType::{PubComp, PubRec, PubRel},
    Property::{MessageExpiryInterval, ReceiveMaximum},
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("expiry/forwarded-at-once", forwarded_at_once)
        .claim("a message that is passed on at once has the message expiry interval it was sent with")
        .covers(&["mqtt5:3.3.2-6"]),
    Case::new("expiry/very-long-one-is-no-end", very_long_one_is_no_end)
        .claim("a message whose expiry interval does not fit into 31 bits arrives, also after it has waited")
        .covers(&["mqtt5:3.3.2-6", "mqtt5:4.5.0-1"]),
    Case::new("expiry/absent-stays-absent", absent_stays_absent)
        .claim("a message sent without message expiry arrives without")
        .covers(&["mqtt5:3.3.2-6"]),
    Case::new("expiry/runs-while-the-message-waits", runs_while_the_message_waits)
        .claim("a message that waited for its subscriber has the rest of its message expiry interval")
        .covers(&["mqtt5:3.3.2-6"]),
    Case::new("expiry/runs-while-the-message-is-stored", runs_while_the_message_is_stored)
        .claim("a retained message comes with the rest of its message expiry interval")
        .covers(&["mqtt5:3.3.2-6"]),
    Case::new("expiry/expired-while-it-waited", expired_while_it_waited)
        .claim("a message that expired while its subscriber was away is not delivered, and others are")
        .covers(&["mqtt5:3.3.2-5"]),
    Case::new("expiry/expired-while-it-was-stored", expired_while_it_was_stored)
        .claim("a retained message that has expired is gone")
        .covers(&["mqtt5:ext-117", "mqtt5:3.3.2-5"]),
    Case::new("expiry/goes-with-the-message-that-is-replaced", goes_with_the_message_that_is_replaced)
        .claim(
            "a retained message without message expiry does not end when the one that it replaced would have expired",
        )
        .covers(&["mqtt5:3.3.1-5"]),
    Case::new("expiry/retained-will-expires", retained_will_expires)
        .claim("a will that was stored is gone when its message expiry has passed")
        .covers(&["mqtt5:ext-117", "mqtt5:3.3.2-5"]),
    Case::new("expiry/expired-behind-a-full-window", expired_behind_a_full_window)
        .claim("a message that expired before the receive maximum let it go is not delivered, and the next one is")
        .covers(&["mqtt5:3.3.2-5", "mqtt5:4.5.0-1"]),
    Case::new("expiry/started-delivery-does-not-expire", started_delivery_does_not_expire)
        .claim("a delivery at QoS 2 that has been started is completed even if the message expires meanwhile")
        .covers(&["mqtt5:4.3.3-7", "mqtt5:4.4.0-1"]),
    Case::new("expiry/reception-is-completed", reception_is_completed)
        .claim("PUBREL is answered by PUBCOMP even if the message has expired since PUBREC")
        .covers(&["mqtt5:4.3.3-13", "mqtt5:4.3.3-11"]),
];

/// Message expiry counts in whole seconds: a server may round, and check only now and then.
const EXPIRED: Duration = Duration::from_millis(2_500);

/// So long that what is left after it, rounded either way, cannot be taken for what is left after twice as long.
const TELLING: Duration = Duration::from_millis(3_500);

/// A message on "door" that expires after this many seconds.
fn mortal(payload: &str, seconds: u32) -> PublishScript {
    publish("door", payload).with(MessageExpiryInterval(seconds))
}

/// This message has what is left of 60 seconds after `waited`, rounded either way; never more than it was sent with.
fn has_the_rest(came: &Delivery, waited: Duration) -> Outcome {
    let elapsed = waited.as_secs() as u32;
    let (least, most) = (60 - elapsed - 2, 60.min(60 - elapsed + 1));
    match came.properties.view().message_expiry_interval() {
        Some(left) if (least..=most).contains(&left) => Ok(()),
        _ => Err(deviates(format!("a message expiry interval from {least} to {most}"), &*came.words)),
    }
}

fn forwarded_at_once(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let sent = t.now();
    t.join("writer")?.publish(mortal("open", 60))?;
    has_the_rest(&reader.delivery("the message")?, t.now().since(sent))
}

/// Servers that reckon when it is over may overflow.
fn very_long_one_is_no_end(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    let send = || {
        [1 << 31, u32::MAX]
            .into_iter()
            .try_for_each(|seconds| writer.publish(mortal(&seconds.to_string(), seconds).at(AtLeastOnce, 0)))
    };
    let comes = |reader: &Peer<'_>| {
        [1 << 31, u32::MAX].into_iter().try_for_each(|seconds: u32| {
            let expected = format!("the message with {seconds} s left, or a little less");
            let came = reader.delivery(&expected)?;
            let left = came.properties.view().message_expiry_interval().unwrap_or(0);
            t.judge((seconds - 60..=seconds).contains(&left), expected, || came.words.clone())?;
            reader.acknowledge(&came)
        })
    };
    send()?;
    comes(&reader)?;
    reader.vanish()?;
    send()?;
    comes(&t.resume("reader")?)
}

fn absent_stays_absent(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    t.join("writer")?.publish(publish("door", "open"))?;
    let came = reader.delivery("the message")?;
    let left = came.properties.view().message_expiry_interval();
    t.judge(left.is_none(), "no message expiry interval", || came.words.clone())
}

fn runs_while_the_message_waits(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.vanish()?;
    t.join("writer")?.publish(mortal("open", 60).at(AtLeastOnce, 0))?;
    let sent = t.now();
    t.sleep(TELLING);
    let reader = t.resume("reader")?;
    has_the_rest(&reader.waited()?, t.now().since(sent))
}

fn runs_while_the_message_is_stored(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    t.join("keeper")?.publish(mortal("open", 60).at(AtLeastOnce, 0).retained())?;
    let sent = t.now();
    t.sleep(TELLING);
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    has_the_rest(&reader.delivery("the stored message")?, t.now().since(sent))
}

fn expired_while_it_waited(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.vanish()?;
    let writer = t.join("writer")?;
    for script in [mortal("expires", 1), mortal("lasts", 300), publish("door", "never expires")] {
        writer.publish(script.at(AtLeastOnce, 0))?;
    }
    t.sleep(EXPIRED);
    let reader = t.resume("reader")?;
    let first = reader.waited()?;
    t.judge(first.text() == "lasts", "a message with payload \"lasts\"", || first.words.clone())?;
    reader.acknowledge(&first)?;
    reader.hears(["never expires"])
}

/// A message on another topic that lasts shows that the server stores at all.
fn expired_while_it_was_stored(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let keeper = t.join("keeper")?;
    keeper.publish(mortal("expires", 1).at(AtLeastOnce, 0).retained())?;
    keeper.publish(publish("bell", "lasts").at(AtLeastOnce, 0).retained())?;
    t.sleep(EXPIRED);
    let reader = t.join("reader")?;
    reader.subscribe("bell", AtLeastOnce)?;
    reader.hears(["lasts"])?;
    reader.subscribe("door", AtLeastOnce)?;
    keeper.publish(publish("door", "fence").at(AtLeastOnce, 0))?;
    reader.hears(["fence"])
}

fn goes_with_the_message_that_is_replaced(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let keeper = t.join("keeper")?;
    keeper.publish(mortal("expires", 1).at(AtLeastOnce, 0).retained())?;
    keeper.publish(publish("door", "lasts").at(AtLeastOnce, 0).retained())?;
    t.sleep(EXPIRED);
    is_there(t, "door", "lasts")
}

/// It is stored at first, and a message on another topic shows that the server stores for longer.
fn retained_will_expires(t: &Testbed) -> Outcome {
    t.needs(Capability::Wills)?;
    t.needs(Capability::Retain)?;
    t.needs(Capability::QoS1)?;
    let script = will("grave", "gone").at(AtLeastOnce).retained().with(MessageExpiryInterval(2));
    t.join_with("mortal", &t.connect("mortal").will(script))?.vanish()?;
    as_step("storing the will", is_there(t, "grave", "gone"))?;
    t.join("keeper")?.publish(publish("bell", "lasts").at(AtLeastOnce, 0).retained())?;
    t.sleep(EXPIRED + Duration::from_secs(1));
    is_there(t, "bell", "lasts")?;
    let late = t.join("late")?;
    late.subscribe("grave", AtMostOnce)?;
    t.join("writer")?.publish(publish("grave", "fence"))?;
    late.hears(["fence"])
}

fn expired_behind_a_full_window(t: &Testbed) -> Outcome {
    let reader = t.join_with("reader", &t.connect("reader").with(ReceiveMaximum(1)))?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    for script in [publish("door", "fills the window"), mortal("expires", 1), publish("door", "lasts")] {
        writer.publish(script.at(AtLeastOnce, 0))?;
    }
    let first = reader.delivery("the message that fills the window")?;
    is_full(&reader)?;
    t.sleep(EXPIRED);
    reader.acknowledge(&first)?;
    writer.publish(publish("door", "fence").at(AtLeastOnce, 0))?;
    reader.hears(["lasts", "fence"])
}

/// Once the PUBLISH has been sent, it is sent again on the resumed session whatever its age. The message behind it shows
/// whether the server sends anything again.
fn started_delivery_does_not_expire(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    writer.publish(mortal("open", 1).at(ExactlyOnce, 0))?;
    let first = reader.delivery("the first delivery")?;
    writer.publish(publish("door", "lasts").at(ExactlyOnce, 0))?;

    reader.vanish()?;
    t.sleep(EXPIRED);
    let reader = t.resume("reader")?;
    let again = as_step("sending again", reader.delivery("a message again"))?;
    let same = again.id == first.id && again.text() == "open";
    t.judge(same, "the message that has expired meanwhile again", || again.words.clone())?;
    reader.send(pubrec(again.id))?;
    reader.expect(accepted(PubRel, again.id))?;
    reader.send(pubcomp(again.id))
}

/// That the server goes on delivering is shown by a message without expiry.
fn reception_is_completed(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    let reader = t.join("reader")?;
    reader.subscribe("bell", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.send(mortal("open", 1).exactly_once(7))?;
    writer.expect(accepted(PubRec, 7))?;
    t.sleep(EXPIRED);
    writer.send(pubrel(7))?;
    writer.expect(accepted(PubComp, 7))?;
    writer.publish(publish("bell", "rings"))?;
    reader.hears(["rings"])
}
