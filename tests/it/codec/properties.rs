//! What holds for every packet, every chunking and any bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use testament::codec::frame::{Framer, MAX_FRAME};
use testament::codec::{PacketBuf, decode, encode, encoded_len, publish_head};
use testament::packet::{Packet, PacketType, PropertyBuf, Publish, Side, Version};
use testament::violation::Rule;

use super::arbitrary::{Made, made, of};

fn any_publish() -> impl Strategy<Value = Made> {
    select(&Version::ALL[..]).prop_flat_map(|version| of(version, Side::Server, PacketType::Publish))
}

fn encoded(made: &Made) -> Vec<u8> {
    let mut bytes = Vec::new();
    made.with(|packet| encode(&packet, made.version, &mut bytes)).unwrap();
    bytes
}

/// Decoding does not panic, and what it accepts can be written and read again as the same packet.
fn survives(bytes: &[u8]) {
    for version in Version::ALL {
        for sender in [Side::Client, Side::Server] {
            match decode(bytes, version, sender) {
                Ok(packet) => {
                    let mut again = Vec::new();
                    encode(&packet, version, &mut again).unwrap();
                    assert_eq!(decode(&again, version, sender), Ok(packet));
                }
                Err(refusal) => {
                    assert!(refusal.offset() <= bytes.len());
                    // What is left when no property alone is to blame can be so in CONNECT only.
                    assert!(refusal.rule() != Rule::AuthenticationDataWithoutMethod || bytes[0] >> 4 == 1);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(made in made()) {
        let bytes = encoded(&made);
        made.with(|packet| {
            assert_eq!(decode(&bytes, made.version, made.sender), Ok(packet));
            assert_eq!(encoded_len(&packet, made.version), bytes.len());
            let kept = PacketBuf::decode(&bytes, made.version, made.sender).unwrap();
            assert_eq!((kept.packet(), kept.as_bytes()), (packet, &bytes[..]));
        });
    }

    #[test]
    fn a_head_and_its_tail_are_the_packet(made in any_publish(), own in any::<Index>()) {
        made.with(|packet| {
            let Packet::Publish(whole) = packet else { unreachable!() };
            // The first properties are the receiver's own, the rest is shared.
            let list: Vec<_> = whole.properties.iter().collect();
            let (mine, shared) = list.split_at(own.index(list.len() + 1));
            let [mine, shared]: [PropertyBuf; 2] = [mine, shared].map(|list| list.iter().copied().collect());
            let mut bytes = Vec::new();
            let publish = Publish { properties: shared.view(), ..whole };
            if whole.topic.is_empty() && mine.view().topic_alias().is_none() {
                return;
            }
            publish_head(&publish, mine.view(), made.version, &mut bytes).unwrap();
            bytes.extend_from_slice(shared.view().as_bytes());
            bytes.extend_from_slice(whole.payload);
            assert_eq!(bytes, encoded(&made));
        });
    }

    #[test]
    fn chunks_do_not_matter(packets in vec(made(), 1..6), cuts in vec(any::<Index>(), 0..12)) {
        let frames: Vec<_> = packets.iter().map(encoded).collect();
        let stream = frames.concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).chain([0, stream.len()]).collect();
        cuts.sort_unstable();
        let mut framer = Framer::new();
        let mut cut_out = Vec::new();
        for window in cuts.windows(2) {
            let mut chunk = &stream[window[0]..window[1]];
            while let Some(frame) = framer.next(&mut chunk, MAX_FRAME).unwrap() {
                cut_out.push(frame.to_vec());
            }
        }
        assert_eq!(cut_out, frames);
        assert_eq!(framer.buffered(), 0);
    }

    #[test]
    fn any_bytes_survive(bytes in vec(any::<u8>(), 0..64)) {
        survives(&bytes);
    }

    #[test]
    fn any_body_survives(first in any::<u8>(), body in vec(prop_oneof![0..4u8, any::<u8>()], 0..40)) {
        survives(&testament::forge::frame(first, &body));
    }

    #[test]
    fn mutated_packets_survive(made in made(), changes in vec((any::<Index>(), any::<u8>(), 0..4u8), 1..4)) {
        let mut bytes = encoded(&made);
        for (at, value, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value & 7),
                2 => bytes.insert(at, value),
                _ => bytes.truncate(at.max(1)),
            }
        }
        survives(&bytes);
        // The same with a length that fits again.
        if bytes.len() > 2 {
            survives(&testament::forge::frame(bytes[0], &bytes[2..]));
        }
    }

    #[test]
    fn every_prefix_is_refused(made in made()) {
        let bytes = encoded(&made);
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length], made.version, made.sender).is_err());
        }
    }
}
