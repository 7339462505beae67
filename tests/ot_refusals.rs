//! What `swav ot` refuses: each with its exit code, naming the argument, the file, the numbers, and what to try.

use ndarray::{Array1, Array2, array};
use swav::npy::{Npy, Values};
use swav_tests::arrays::{Arrays, drawn, drawn_matrix};

const N: usize = 4;
const M: usize = 3;

/// A whole problem: `C.npy` (4, 3), `a.npy`, `b.npy`, points `X.npy` and `Y.npy`.
fn whole() -> Arrays {
    let arrays = Arrays::new();
    arrays.matrix("C.npy", &drawn_matrix(1, N, M));
    arrays.vector("a.npy", &Array1::from_elem(N, 0.25));
    arrays.vector("b.npy", &array![0.25, 0.5, 0.25]);
    arrays.matrix("X.npy", &drawn_matrix(2, N, 2));
    arrays.matrix("Y.npy", &drawn_matrix(3, M, 2));
    arrays
}

/// The header of a file, its data following.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn files_that_are_no_arrays_of_this_kind() {
    let arrays = whole();
    let bytes = std::fs::read(arrays.path("C.npy")).unwrap();
    let fortran = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }";
    let big = "{'descr': '>f8', 'fortran_order': False, 'shape': (2, 2), }";
    let object = "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }";
    let cube = Npy { shape: vec![2, 1, 2], values: Values::F64(vec![0.5; 4]) };
    let whole_numbers = Npy { shape: vec![2, 2], values: Values::I64(vec![1; 4]) };
    let nothing = Npy { shape: vec![0, 3], values: Values::F64(Vec::new()) };
    swav::npz::write(&arrays.path("Z.npz"), &[("C", cube.clone())]).unwrap();
    let zip = std::fs::read(arrays.path("Z.npz")).unwrap();
    let vector = Npy { shape: vec![4], values: Values::F64(vec![0.5; 4]) };
    let enormous = "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }";
    let cases: [(&str, Vec<u8>, &[&str]); 14] = [
        ("truncated", bytes[..bytes.len() - 8].to_vec(), &["88 bytes", "(4, 3)"]),
        ("cut header", bytes[..40].to_vec(), &["header"]),
        ("long", [&bytes[..], &[0]].concat(), &["97 bytes"]),
        ("zero bytes", Vec::new(), &["is empty"]),
        ("text", b"1,2\n3,4\n".to_vec(), &["is no .npy file"]),
        ("npz", zip, &["zip archive", "np.save"]),
        ("int64", whole_numbers.to_bytes(), &["int64", "x.astype('f8')"]),
        ("3-D", cube.to_bytes(), &["(2, 1, 2)", "(n, m)"]),
        ("1-D", vector.to_bytes(), &["(4,)", "(n, m)", "reshape(-1, 1)"]),
        ("no number", nothing.to_bytes(), &["(0, 3)", "no number"]),
        ("Fortran", with_header(fortran, &[0; 32]), &["Fortran", "np.ascontiguousarray"]),
        ("big-endian", with_header(big, &[0; 32]), &["'>f8'", "astype"]),
        ("objects", with_header(object, &[0; 32]), &["'|O'"]),
        ("enormous", with_header(enormous, &[0; 32]), &["4294967296", "32 bytes"]),
    ];
    for (what, bytes, words) in cases {
        arrays.bytes("bad.npy", &bytes);
        for command in ["solve --epsilon 1", "emd", "partial --mass 0.5 --epsilon 1"] {
            let said = arrays.ot(&format!("{command} --cost bad.npy"));
            said.refuses(2, &["--cost bad.npy", "try: "]);
            said.refuses(2, words);
            assert!(said.out.is_empty(), "{what}: {said:?}");
        }
    }
    arrays
        .ot("solve --cost nowhere.npy --epsilon 1")
        .refuses(2, &["--cost nowhere.npy", "No such file"]);
    arrays.ot("solve --cost . --epsilon 1").refuses(2, &["--cost .", "directory"]);
    arrays.ot("solve --cost Z.npz --epsilon 1").refuses(2, &["--cost Z.npz", "zip archive"]);
}

#[test]
fn shapes_that_disagree() {
    let arrays = whole();
    arrays.vector("five.npy", &Array1::from_elem(5, 0.2));
    arrays.matrix("column.npy", &Array2::from_elem((N, 1), 0.25));
    arrays.matrix("space.npy", &drawn_matrix(4, M, 3));
    arrays.vector("x.npy", &drawn(5, N));
    let solve = "solve --cost C.npy --epsilon 1";
    arrays
        .ot(&format!("{solve} --a five.npy"))
        .refuses(2, &["--a five.npy", "5 weights", "4 sources"]);
    arrays
        .ot(&format!("{solve} --b five.npy"))
        .refuses(2, &["--b five.npy", "5 weights", "3 targets"]);
    arrays
        .ot(&format!("{solve} --a column.npy"))
        .refuses(2, &["--a column.npy", "(4, 1)", "x.ravel()"]);
    arrays.ot("emd --cost C.npy --a five.npy").refuses(2, &["--a five.npy", "5 weights"]);
    arrays
        .ot("solve --x X.npy --y space.npy --epsilon 1")
        .refuses(2, &["--y space.npy", "3 coordinates", "--x X.npy", "2"]);
    arrays
        .ot("divergence --x x.npy --y Y.npy --epsilon 1")
        .refuses(2, &["--x x.npy", "(4,)", "(n, d)"]);
    arrays.ot("line --x X.npy --y x.npy --p 1").refuses(2, &["--x X.npy", "(4, 2)", "(n,)"]);
    let q = "--epsilon 1 --out q.npy";
    arrays
        .ot(&format!("barycenter --histograms space.npy --cost C.npy {q}"))
        .refuses(2, &["--histograms space.npy", "3 rows", "4", "H.T"]);
    arrays
        .ot(&format!("barycenter --histograms X.npy --weights five.npy --cost C.npy {q}"))
        .refuses(2, &["--weights five.npy", "5 weights", "2 histograms"]);
    assert!(!arrays.path("q.npy").exists());
}

#[test]
fn numbers_in_arrays_that_mean_nothing() {
    let arrays = whole();
    let bad = |at: f64| {
        let mut cost = drawn_matrix(1, N, M);
        cost[[2, 1]] = at;
        arrays.matrix("bad.npy", &cost);
    };
    for (at, name) in [(f64::NAN, "NaN"), (f64::NEG_INFINITY, "-inf")] {
        bad(at);
        for command in ["solve --epsilon 1", "partial --mass 0.5 --epsilon 1", "emd"] {
            arrays
                .ot(&format!("{command} --cost bad.npy"))
                .refuses(2, &["--cost bad.npy", "row 2", "column 1", name]);
        }
        arrays
            .ot("assign --scores bad.npy --epsilon 1 --rounds 3 --codes Q.npy")
            .refuses(2, &["--scores bad.npy", "row 2"]);
        arrays
            .ot("solve --x bad.npy --y bad.npy --epsilon 1")
            .refuses(2, &["--x bad.npy", "row 2"]);
    }
    let solve = "solve --cost C.npy --epsilon 1";
    for (name, values, words) in [
        ("negative", array![0.5, -0.25, 0.5, 0.25], vec!["-0.25", "at least 0"]),
        ("nan", array![0.5, f64::NAN, 0.25, 0.25], vec!["row 1", "NaN"]),
        ("infinite", array![0.5, f64::INFINITY, 0.25, 0.25], vec!["row 1", "infinity"]),
        ("none", array![0.0, 0.0, 0.0, 0.0], vec!["its sum is 0", "above 0"]),
        ("heavy", array![0.5, 0.5, 0.5, 0.5], vec!["2 and 1", "a.sum()"]),
    ] {
        arrays.vector("w.npy", &values);
        for command in [solve, "emd --cost C.npy", "divergence --x X.npy --y Y.npy --epsilon 1"] {
            let said = arrays.ot(&format!("{command} --a w.npy --b b.npy"));
            said.refuses(2, &["--a w.npy", "try: "]);
            said.refuses(2, &words);
            assert!(said.out.is_empty(), "{name}: {said:?}");
        }
    }
    // Heavy is no fault where a marginal is soft or a part is moved.
    assert_eq!(arrays.ot(&format!("{solve} --a w.npy --rho-a 1")).code, 0);
    assert_eq!(arrays.ot("partial --cost C.npy --a w.npy --mass 1 --epsilon 1").code, 0);
    // Masses agree to 1e-12 in float64, 1e-6 in float32.
    let off = |by: f64| array![0.25, 0.5, 0.25 + by];
    arrays.vector("w.npy", &off(1e-9));
    arrays.ot(&format!("{solve} --b w.npy")).refuses(2, &["--b w.npy", "1.000000001", "--rho-b"]);
    arrays.vector("w.npy", &off(1e-13));
    assert_eq!(arrays.ot(&format!("{solve} --b w.npy")).code, 0);
    arrays.single_matrix("C4.npy", &drawn_matrix(1, N, M));
    arrays.single_vector("w.npy", &off(2e-7));
    assert_eq!(arrays.ot("solve --cost C4.npy --b w.npy --epsilon 1").code, 0);
    // Coordinates whose squares leave the number type.
    arrays.matrix("far.npy", &(drawn_matrix(2, N, 2) * 1e200));
    arrays.ot("solve --x far.npy --y Y.npy --epsilon 1").refuses(2, &["--x far.npy", "e199"]);
    // Histograms.
    arrays.matrix("H.npy", &array![[1.0, 1.0], [1.0, 2.0], [1.0, 1.0], [1.0, 1.0]]);
    let q = "--cost C.npy --epsilon 1 --out q.npy";
    arrays
        .ot(&format!("barycenter --histograms H.npy {q}"))
        .refuses(2, &["--histograms H.npy", "4", "5", "H.sum(axis=0)"]);
    arrays.matrix("H.npy", &Array2::from_elem((N, 2), 0.25));
    arrays.vector("w.npy", &array![0.5, 0.6]);
    arrays
        .ot(&format!("barycenter --histograms H.npy --weights w.npy {q}"))
        .refuses(2, &["--weights w.npy", "its sum is 1.1", "w.sum()"]);
    arrays
        .ot(&format!("barycenter --histograms H.npy --debiased {q}"))
        .refuses(2, &["--cost C.npy", "(4, 3)", "(4, 4)"]);
    arrays.matrix("S.npy", &drawn_matrix(3, N, N));
    let square = "--cost S.npy --epsilon 1 --out q.npy";
    arrays
        .ot(&format!("barycenter --histograms H.npy --debiased {square}"))
        .refuses(2, &["--cost S.npy", "symmetric", "C.T"]);
    bad(f64::INFINITY);
    arrays
        .ot("barycenter --histograms H.npy --cost bad.npy --epsilon 1 --out q.npy")
        .refuses(2, &["--cost bad.npy", "inf", "finite"]);
}

#[test]
fn masks_that_no_plan_avoids() {
    let arrays = whole();
    let mut cost = drawn_matrix(1, N, M);
    cost.row_mut(2).fill(f64::INFINITY);
    arrays.matrix("C.npy", &cost);
    let words = ["--cost C.npy", "[2]", "0.25", "try: "];
    let solve = "solve --cost C.npy --epsilon 1";
    arrays.ot(solve).refuses(2, &[&words[..], &["--rho-a"]].concat());
    arrays.ot(&format!("{solve} --rho-b 1")).refuses(2, &words);
    arrays.ot("emd --cost C.npy").refuses(2, &[&words[..], &["swav ot partial"]].concat());
    arrays
        .ot("partial --cost C.npy --mass 0.9 --epsilon 1")
        .refuses(2, &["--cost C.npy", "--mass"]);
    assert_eq!(arrays.ot("partial --cost C.npy --mass 0.7 --epsilon 1").code, 0);
    assert_eq!(arrays.ot(&format!("{solve} --rho-a 1")).code, 0);
    cost.row_mut(2).fill(1.0);
    cost.column_mut(1).fill(f64::INFINITY);
    arrays.matrix("C.npy", &cost);
    arrays
        .ot(&format!("{solve} --b b.npy --rho-a 1"))
        .refuses(2, &["--b b.npy", "0.5", "no row may reach", "--rho-b"]);
}

#[test]
fn settings_out_of_range() {
    let arrays = whole();
    for epsilon in ["0", "-1", "nan", "inf"] {
        for command in [
            "solve --cost C.npy",
            "partial --cost C.npy --mass 0.5",
            "divergence --x X.npy --y Y.npy",
            "assign --scores C.npy --rounds 3 --codes Q.npy",
            "barycenter --histograms C.npy --cost C.npy --out q.npy",
        ] {
            let said = arrays.ot(&format!("{command} --epsilon {epsilon}"));
            said.refuses(2, &["--epsilon: is ", "above 0", "try: "]);
            assert!(said.out.is_empty());
        }
    }
    let solve = "solve --cost C.npy --epsilon 1";
    for (args, words) in [
        (format!("{solve} --rho-a 0"), ["--rho-a", "is 0"]),
        (format!("{solve} --rho-b -2"), ["--rho-b", "is -2"]),
        (format!("{solve} --tol -1"), ["--tol", "is -1"]),
        (format!("{solve} --tol nan"), ["--tol", "is NaN"]),
        (format!("{solve} --max-iter 0"), ["--max-iter", "is 0"]),
        (
            "partial --cost C.npy --mass 1.5 --epsilon 1".into(),
            ["--mass: is 1.5", "a --mass of at most 1"],
        ),
        ("partial --cost C.npy --mass 0 --epsilon 1".into(), ["--mass: is 0", "above 0"]),
        (
            "assign --scores C.npy --epsilon 1 --rounds 0 --codes Q.npy".into(),
            ["--rounds: is 0", "at least 1"],
        ),
        ("line --x a.npy --y b.npy --p 0.5".into(), ["--p: is 0.5", "at least 1"]),
        ("line --x a.npy --y b.npy --p nan".into(), ["--p: is NaN", "at least 1"]),
    ] {
        let said = arrays.ot(&args);
        said.refuses(2, &words);
        said.refuses(2, &["try: "]);
    }
    assert!(!arrays.path("Q.npy").exists());
}

#[test]
fn flags_that_are_wrong_missing_or_in_each_others_way() {
    let arrays = whole();
    for (args, word) in [
        ("solve --cost C.npy --epsilom 1", "--epsilon"),
        ("solve --cost C.npy", "--epsilon"),
        ("solve --epsilon 1", "--cost"),
        ("solve --x X.npy --epsilon 1", "--y"),
        ("solve --cost C.npy --x X.npy --y Y.npy --epsilon 1", "--x"),
        ("solve --cost C.npy --cost-fn cosine --epsilon 1", "--cost-fn"),
        ("solve --cost C.npy --epsilon one", "one"),
        ("solve --cost C.npy --epsilon 1 --method newton", "kernel"),
        ("solve --cost C.npy --epsilon 1 --device tpu", "cuda:N"),
        ("solve C.npy --epsilon 1", "C.npy"),
        ("partial --cost C.npy --epsilon 1", "--mass"),
        ("barycenter --cost C.npy --epsilon 1 --out q.npy", "--histograms"),
        ("line --x a.npy --y b.npy", "--p"),
        ("sinkhorn --cost C.npy", "sinkhorn"),
    ] {
        arrays.ot(args).refuses(2, &[word]);
    }
}

#[test]
fn devices_that_are_not_there() {
    let arrays = whole();
    for command in [
        "solve --cost C.npy --epsilon 1",
        "partial --cost C.npy --mass 0.5 --epsilon 1",
        "divergence --x X.npy --y Y.npy --epsilon 1",
        "assign --scores C.npy --epsilon 1 --rounds 3 --codes Q.npy",
        "barycenter --histograms C.npy --cost C.npy --epsilon 1 --out q.npy",
    ] {
        arrays.ot(&format!("{command} --device cuda:3")).refuses(4, &["cuda:3", "--device cpu"]);
    }
    assert_eq!(arrays.ot("solve --cost C.npy --epsilon 1 --device cpu").code, 0);
}

#[test]
fn results_that_cannot_be_written() {
    let arrays = whole();
    let solve = "solve --cost C.npy --epsilon 1";
    arrays
        .ot(&format!("{solve} --plan nowhere/P.npy"))
        .refuses(2, &["nowhere/P.npy", "mkdir -p nowhere"]);
    arrays.ot(&format!("{solve} --potentials .")).refuses(2, &["--potentials .", "is a folder"]);
    arrays
        .ot(&format!("{solve} --plan P.npy --potentials P.npy"))
        .refuses(2, &["--potentials P.npy", "--plan"]);
    arrays.ot("emd --cost C.npy --plan nowhere/P.npy").refuses(2, &["nowhere/P.npy"]);
    if cfg!(target_os = "linux") {
        let said = arrays.ot(&format!("{solve} --plan /proc/P.npy --json"));
        said.refuses(7, &["writing /proc/P.npy"]);
        assert!(said.out.is_empty(), "a result is printed that is not written: {said:?}");
    }
}
