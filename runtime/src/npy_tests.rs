use super::*;

/// `numpy.lib.format.write_array` of NumPy 2.4: the header padded with spaces to 128 bytes in all.
fn numpy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(128 - 10 - header.len() - 1));
    [b"\x93NUMPY\x01\x00v\x00", header.as_bytes(), b"\n", data].concat()
}

#[test]
fn bytes_are_those_that_numpy_writes() {
    // np.array([[1, 2, 3], [4, 5, 6]], dtype="<f4")
    let data = b"\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@\x00\x00\xa0@\x00\x00\xc0@";
    let bytes = numpy("<f4", "(2, 3)", data);
    let array = Npy { shape: vec![2, 3], values: Values::F32(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) };
    assert_eq!(parse(&bytes).unwrap(), array);
    assert_eq!(array.to_bytes(), bytes);
    // np.array([-1, 2**40])
    let data = b"\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x01\x00\x00";
    let array = Npy { shape: vec![2], values: Values::I64(vec![-1, 1 << 40]) };
    assert_eq!(array.to_bytes(), numpy("<i8", "(2,)", data));
    assert_eq!(parse(&array.to_bytes()).unwrap(), array);
    // np.array(0.5)
    let array = Npy { shape: vec![], values: Values::F64(vec![0.5]) };
    assert_eq!(array.to_bytes(), numpy("<f8", "()", b"\x00\x00\x00\x00\x00\x00\xe0?"));
    assert_eq!(parse(&array.to_bytes()).unwrap(), array);
}

#[test]
fn versions_two_and_three_are_read() {
    for version in [2u8, 3] {
        let header = b"{\"shape\": (1,), 'fortran_order':False,'descr':'<f4'}  \n";
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header);
        bytes.extend(1.5f32.to_le_bytes());
        assert_eq!(parse(&bytes).unwrap(), Npy { shape: vec![1], values: Values::F32(vec![1.5]) });
    }
}

#[test]
fn empty_arrays_keep_their_shape() {
    let array = Npy { shape: vec![0, 7], values: Values::F32(vec![]) };
    assert_eq!(parse(&array.to_bytes()).unwrap(), array);
}

#[test]
fn refusals_name_the_reason() {
    let good = numpy("<f4", "(2,)", &[0; 8]);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"PK\x03\x04".to_vec(), "is no .npy file"),
        (good[..9].to_vec(), "preamble"),
        (good[..60].to_vec(), "should have 118 bytes"),
        (good[..good.len() - 1].to_vec(), "does not match the 7 bytes"),
        ([&good[..], &[0]].concat(), "does not match the 9 bytes"),
        (numpy(">f4", "(2,)", &[0; 8]), "'>f4'"),
        (numpy("|O", "(2,)", &[0; 8]), "'|O'"),
        (numpy("<f4", "(-2,)", &[0; 8]), "no tuple"),
        (numpy("<f4", "(2,), 'x': 'y'", &[0; 8]), "unknown or repeated key 'x'"),
        (numpy("<f4", "(18446744073709551615, 2)", &[0; 8]), "does not match"),
        (b"\x93NUMPY\x04\x00".to_vec(), "version 4"),
    ];
    for (bytes, reason) in cases {
        let error = parse(&bytes).unwrap_err().0;
        assert!(error.contains(reason), "{error}");
    }
    let fortran = String::from_utf8_lossy(&numpy("<i8", "(1, 2)", b"abcdefghijklmnop")[10..])
        .replace("False", "True ");
    let fortran = [&good[..10], fortran.as_bytes()].concat();
    assert!(parse(&fortran).unwrap_err().0.contains("Fortran"));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(tail in proptest::collection::vec(0u8.., 0..200), cut in 0usize..140) {
        let mut bytes = numpy("<f8", "(2, 1)", &[7; 16]);
        bytes.truncate(cut);
        bytes.extend(tail);
        if let Ok(array) = parse(&bytes) {
            proptest::prop_assert_eq!(parse(&array.to_bytes()).unwrap(), array);
        }
    }

    #[test]
    fn values_survive_to_the_bit(bits in proptest::collection::vec(0u32.., 0..50)) {
        let x: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
        let array = Npy { shape: vec![x.len()], values: Values::F32(x) };
        let Values::F32(back) = parse(&array.to_bytes()).unwrap().values else { panic!("type") };
        proptest::prop_assert!(back.iter().zip(&bits).all(|(v, &b)| v.to_bits() == b));
    }
}
