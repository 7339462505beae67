use proptest::prelude::*;
use swav_images::header::{describe, header, jpeg_orientation, orientation};

fn tiff(little: bool, value: u16) -> Vec<u8> {
    let two = |x: u16| if little { x.to_le_bytes() } else { x.to_be_bytes() };
    let four = |x: u32| if little { x.to_le_bytes() } else { x.to_be_bytes() };
    let mut t = if little { b"II".to_vec() } else { b"MM".to_vec() };
    t.extend(two(42));
    t.extend(four(8));
    t.extend(two(2));
    for (tag, v) in [(0x0100, 640), (0x0112, value)] {
        t.extend(two(tag));
        t.extend(two(3));
        t.extend(four(1));
        t.extend(two(v));
        t.extend(two(0));
    }
    t
}

#[test]
fn orientation_is_found_in_both_byte_orders_and_defaults_to_upright() {
    for little in [true, false] {
        assert_eq!(orientation(&tiff(little, 6)), 6);
        assert_eq!(orientation(&tiff(little, 9)), 1);
        for cut in 0..tiff(little, 6).len() - 2 {
            assert_eq!(orientation(&tiff(little, 6)[..cut]), 1, "{cut}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), head in 0..5) {
        let heads: [&[u8]; 5] =
            [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBPVP8L"];
        bytes.splice(0..0, heads[head as usize].iter().copied());
        let _ = (header(&bytes), jpeg_orientation(&bytes), orientation(&bytes), describe(&bytes));
    }
}
