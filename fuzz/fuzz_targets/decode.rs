//! Any bytes from either side under any version: decoding does not panic, and what it accepts can be written and read again
//! as the same packet. Run with `cargo +nightly fuzz run decode`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use testament::codec::frame::{Framer, MAX_FRAME};
use testament::codec::{decode, encode, encoded_len};
use testament::packet::{Side, Version};

fuzz_target!(|stream: &[u8]| {
    for version in Version::ALL {
        for sender in [Side::Client, Side::Server] {
            let mut framer = Framer::new();
            let mut chunk = stream;
            while let Ok(Some(frame)) = framer.next(&mut chunk, MAX_FRAME) {
                let Ok(packet) = decode(frame, version, sender) else { break };
                let mut again = Vec::new();
                encode(&packet, version, &mut again).expect("what was decoded can be encoded");
                assert_eq!(again.len(), encoded_len(&packet, version));
                assert_eq!(decode(&again, version, sender), Ok(packet));
            }
        }
    }
});
