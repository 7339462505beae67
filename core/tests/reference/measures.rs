//! A measure with itself, Sinkhorn divergences and barycentres.

use ndarray::{Array1, Array2};
use swav_core::transport::{
    Barycenter, Dense, Metric, Points, Problem, Sinkhorn, SinkhornDivergence,
};

use crate::points;
use crate::transport::weights;

fn exact() -> Sinkhorn {
    Sinkhorn { tolerance: 1e-15, max_iterations: 100_000, ..Sinkhorn::default() }
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found}, expected {expected}");
}

/// `bal_6x6_symmetric`, POT and 80 bits: values to 1e-12. POT's f and g differ from each other by 6e-15.
#[test]
fn a_measure_with_itself() {
    let (x, a) = (points(6, 6, 2), weights(5, 6));
    let geometry = Points::new(&x, &x, Metric::SquaredEuclidean).unwrap();
    let problem = Problem::new(&geometry, &a, &a, 0.05).unwrap();
    let found = exact().solve_symmetric(&problem).unwrap();
    let f = [
        0.028_571_046_437_642_73,
        0.029_044_598_738_068_61,
        0.026_887_692_441_513_178,
        0.050_273_584_314_716_735,
        0.045_373_614_649_427_685,
        0.042_983_404_876_214_31,
    ];
    found.f.iter().zip(f).for_each(|(found, f)| close(*found, f, 1e-12));
    assert_eq!(found.f, found.g);
    close(found.value(), 0.070_027_295_155_306_47, 1e-12);
    close(found.linear(), 0.008_934_352_122_732_674, 1e-12);
    close(found.plan()[[1, 2]], 0.050_019_017_583_607_4, 1e-12);
    // POT took 11 499 iterations, the alternating 80-bit solver 11 470.
    assert!(found.iterations <= 60, "{}", found.iterations);
}

/// `sinkdiv_5x4` (POT, 80 bits), `ott_sinkhorn_divergence`, `sinkdiv_zero_at_equality`, `sinkdiv_grad_points` (torch through
/// POT, 80-bit differences).
#[test]
fn divergences() {
    let (x, y) = (points(1, 5, 2), points(2, 4, 2));
    let (a, b) = (weights(3, 5), weights(4, 4));
    let s = SinkhornDivergence { sinkhorn: exact(), ..SinkhornDivergence::new(0.1) };
    let metric = Metric::SquaredEuclidean;
    let (found, [d_x, _]) = s.with_gradients((&x, &a), (&y, &b), metric).unwrap();
    close(found.value, 0.170_400_404_490_178_46, 1e-12);
    close(found.value, 0.170_400_404_490_178_63, 1.7e-12);
    close(found.linear(), 0.187_760_821_254_841_28, 1e-12);
    let parts = [0.264_659_209_337_260_9, 0.071_113_069_403_335_12, 0.117_404_540_290_829_75];
    found.parts.iter().zip(parts).for_each(|(found, part)| close(found.value, part, 1e-12));
    let slopes = [
        [0.081_806_377_423_287_68, -0.043_201_178_802_256_164],
        [0.130_458_344_974_722_7, -0.066_539_120_531_033_52],
        [0.105_029_898_453_992_09, -0.196_868_297_709_131_25],
        [0.122_201_701_199_532_18, -0.093_031_940_668_154_7],
        [0.097_113_074_449_878_63, -0.085_012_103_980_840_62],
    ];
    d_x.iter().zip(slopes.as_flattened()).for_each(|(found, d)| close(*found, *d, 1.8e-12));
    let same = s.between_points((&x, &a), (&x, &a), metric).unwrap();
    close(same.value, 0.0, 1e-13);
}

/// A sampled Gaussian on i/(n − 1).
fn bump(n: usize, centre: f64, width: f64) -> Array1<f64> {
    let at = |i: usize| (-0.5 * ((i as f64 / (n - 1) as f64 - centre) / width).powi(2)).exp();
    let w = Array1::from_shape_fn(n, at);
    &w / w.sum()
}

/// `bary_fixed_uniform`, `bary_fixed_nonuniform`, `bary_debiased`: POT's `sinkhorn_log` and 80 bits, which differ by 1.1e-12
/// for the last.
#[test]
fn barycentres() {
    let bumps = [bump(12, 0.2, 0.1), bump(12, 0.5, 0.15), bump(12, 0.8, 0.08)];
    let histograms = Array2::from_shape_fn((12, 3), |(i, k)| bumps[k][i]);
    let cost =
        Array2::from_shape_fn((12, 12), |(i, j)| (i as f64 / 11.0 - j as f64 / 11.0).powi(2));
    let cases = [
        (false, [1.0 / 3.0; 3], 1e-12, UNIFORM),
        (false, [0.2, 0.3, 0.5], 1e-12, NONUNIFORM),
        (true, [0.2, 0.3, 0.5], 1.1e-11, DEBIASED),
    ];
    for (debiased, shares, tolerance, expected) in cases {
        let s = Barycenter { epsilon: 0.01, debiased, tolerance: 0.0, max_iterations: 20_000 };
        let found = s.solve(&Dense::new(&cost), &histograms, &ndarray::arr1(&shares)).unwrap();
        found.q.iter().zip(expected).for_each(|(q, e)| close(*q, e, tolerance));
    }
}

const UNIFORM: [f64; 12] = [
    8.180_375_618_473_277e-5,
    0.001_620_059_311_844_945,
    0.013_751_909_601_726_764,
    0.060_995_705_130_593_73,
    0.161_575_887_591_788_06,
    0.260_977_035_237_709_43,
    0.261_852_377_265_849_8,
    0.161_045_979_721_975_46,
    0.061_586_025_882_081_08,
    0.014_358_933_053_255_812,
    0.002_013_052_020_699_229,
    0.000_141_231_426_292_649_55,
];
const NONUNIFORM: [f64; 12] = [
    1.217_398_933_190_950_3e-6,
    6.730_500_909_288_047e-5,
    0.001_331_596_634_870_060_4,
    0.012_042_003_946_501_909,
    0.057_703_525_738_287_39,
    0.162_214_559_834_529_87,
    0.268_803_962_520_565_8,
    0.268_707_881_731_462_5,
    0.158_991_393_609_118_04,
    0.056_792_231_341_684_83,
    0.011_919_967_356_584_736,
    0.001_424_354_878_370_259_4,
];
const DEBIASED: [f64; 12] = [
    0.0,
    2.912_373_475_285_625_5e-7,
    1.047_495_623_599_518_5e-5,
    0.003_014_710_578_227_256,
    0.033_401_329_271_857_71,
    0.152_124_981_707_087_96,
    0.313_391_403_060_948_8,
    0.315_197_050_346_363_25,
    0.146_447_318_646_443_28,
    0.033_124_790_192_130_53,
    0.003_274_190_236_863_457,
    1.345_976_649_577_774_5e-5,
];
