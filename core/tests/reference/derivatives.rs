//! Derivatives of values and plans. Tolerances are 10 · max(xcheck, 1e-13).

use ndarray::{Array1, Array2};
use swav_core::transport::{
    Dense, Marginal, Metric, Points, Problem, Reference, Sinkhorn, Solution,
};

use crate::points;
use crate::transport::weights;

/// Solves 5 points x against 4 points y, b of mass `mass`, at ε = 0.1.
fn solved(
    mass: f64,
    (marginal, reference): (Marginal, Reference),
    then: impl Fn(&Solution<'_, f64>, [&Array2<f64>; 2]),
) {
    let (x, y) = (points(1, 5, 2), points(2, 4, 2));
    let (a, b) = (weights(3, 5), weights(4, 4) * mass);
    let geometry = Points::new(&x, &y, Metric::SquaredEuclidean).unwrap();
    let problem = Problem::with_marginals(&geometry, &a, &b, 0.1, [marginal; 2]).unwrap();
    let problem = problem.with_reference(reference);
    let sinkhorn = Sinkhorn { tolerance: 1e-15, max_iterations: 100_000, ..Sinkhorn::default() };
    then(&sinkhorn.solve(&problem).unwrap(), [&x, &y]);
}

#[track_caller]
fn close<'a>(
    found: impl IntoIterator<Item = &'a f64>,
    expected: impl IntoIterator<Item = f64>,
    tolerance: f64,
) {
    let (mut found, mut count) = (found.into_iter(), 0);
    for expected in expected {
        let found = found.next().expect("as many as expected");
        assert!((found - expected).abs() <= tolerance, "{count}: {found}, expected {expected}");
        count += 1;
    }
    assert!(count > 0 && found.next().is_none());
}

fn flat<const N: usize, const M: usize>(x: [[f64; N]; M]) -> impl Iterator<Item = f64> {
    x.into_iter().flatten()
}

/// `grad_value_kl`, `grad_value_points`: torch through POT; the weights' gradients there are centred too.
#[test]
fn values() {
    solved(1.0, (Marginal::Hard, Reference::Product), |s, [x, y]| {
        close(&s.cost_gradient(), flat(VALUE_COST), 1.6e-12);
        let weights = s.weights_gradient();
        close(&weights.d_a, VALUE_A, 1.6e-12);
        close(&weights.d_b, VALUE_B, 1.6e-12);
        let [d_x, _] = s.points_gradient(x, y, Metric::SquaredEuclidean).unwrap();
        close(&d_x, flat(POINTS), 1e-12);
    });
}

/// `grad_value_entropy`: the reference measure is 1.
#[test]
fn values_of_the_entropy_form() {
    solved(1.0, (Marginal::Hard, Reference::Counting), |s, _| {
        close(&s.cost_gradient(), flat(VALUE_COST), 1.5e-12);
        let weights = s.weights_gradient();
        close(&weights.d_a, ENTROPY_A, 1.5e-12);
        close(&weights.d_b, ENTROPY_B, 1.5e-12);
    });
}

/// `grad_plan_functional`, L = Σ cos(i + 2j) P_ij: torch through 600 iterations, and 80-bit differences.
#[test]
fn functions_of_the_plan() {
    let d_plan = Array2::from_shape_fn((5, 4), |(i, j)| ((i + 2 * j) as f64).cos());
    let d_plan = Dense::new(&d_plan);
    for reference in [Reference::Product, Reference::Counting] {
        solved(1.0, (Marginal::Hard, reference), |s, _| {
            let back = s.plan_backward(&d_plan).unwrap();
            // Their check, by differences, is good to 6e-11; the figures are better than that.
            close(&back.cost(), flat(PLAN_COST), 1e-12);
            close(&back.weights.d_a, PLAN_A, 1e-12);
            close(&back.weights.d_b, PLAN_B, 1e-12);
            assert!((back.d_epsilon - PLAN_EPSILON).abs() <= 1e-11);
            let sums: Array1<f64> = back.cost().sum_axis(ndarray::Axis(1));
            assert!(sums.iter().all(|s| s.abs() <= 1e-14));
        });
    }
}

/// `grad_unbalanced_value`: masses of 1 and 1.7, ρ = 1; unique, so not centred.
#[test]
fn unbalanced_values() {
    solved(1.7, (Marginal::Kl(1.0), Reference::Product), |s, _| {
        assert!((s.value() - UNBALANCED).abs() <= 1e-12);
        close(&s.cost_gradient(), flat(UNBALANCED_COST), 1e-12);
        let weights = s.weights_gradient();
        close(&weights.d_a, UNBALANCED_A, 1e-12);
        close(&weights.d_b, UNBALANCED_B, 1e-12);
    });
}

const PLAN_EPSILON: f64 = -2.031_680_974_916_146_6;
const UNBALANCED: f64 = 0.398_667_567_683_462_73;
const VALUE_COST: [[f64; 4]; 5] = [
    [
        0.001_140_975_283_205_936_6,
        0.000_670_039_178_271_725_8,
        0.019_179_881_127_834_91,
        0.059_840_477_307_732_29,
    ],
    [
        0.016_317_768_278_903_8,
        0.027_457_413_851_875_223,
        0.073_363_724_594_291_19,
        0.043_918_922_661_796_24,
    ],
    [
        0.169_576_085_569_236_9,
        0.062_019_957_148_573_564,
        0.047_658_984_291_881_305,
        0.037_091_216_227_929_32,
    ],
    [
        0.000_468_933_472_593_720_7,
        0.030_464_942_805_824_013,
        0.125_627_889_944_878_97,
        0.012_583_725_500_929_987,
    ],
    [
        0.019_546_403_178_947_944,
        0.188_188_949_883_714_73,
        0.059_637_676_713_753_016,
        0.005_246_032_977_824_903,
    ],
];
const VALUE_A: [f64; 5] = [
    -0.237_310_003_304_232_38,
    -0.025_674_365_305_556_612,
    0.015_434_392_652_934_892,
    0.085_982_034_306_585_27,
    0.161_567_941_650_268_7,
];
const VALUE_B: [f64; 4] = [
    -0.020_248_330_189_634_123,
    -0.305_785_008_724_794_64,
    -0.017_107_904_940_285_176,
    0.343_141_243_854_713_9,
];
const ENTROPY_A: [f64; 5] = [
    -0.317_469_499_776_071_36,
    -0.036_894_029_713_934_66,
    0.071_722_111_340_253_19,
    0.079_661_945_209_176_85,
    0.202_979_472_940_576_03,
];
const ENTROPY_B: [f64; 4] = [
    -0.034_897_612_439_146_825,
    -0.280_460_598_314_975_2,
    0.013_473_164_532_096_765,
    0.301_885_046_222_025_3,
];
const POINTS: [[f64; 2]; 5] = [
    [0.054_344_730_705_178_76, -0.029_849_515_574_793_085],
    [0.112_869_511_369_275_64, -0.059_267_266_659_516_52],
    [0.135_083_155_591_230_46, -0.139_022_435_287_209_95],
    [0.091_742_677_209_145_13, -0.131_033_669_264_323_55],
    [0.142_569_321_626_583_26, -0.125_479_754_905_573_14],
];
const PLAN_COST: [[f64; 4]; 5] = [
    [
        -0.011_170_532_878_371_227,
        0.005_440_636_036_286_907,
        0.221_105_995_410_155_58,
        -0.215_376_098_568_071_33,
    ],
    [
        -0.123_891_090_048_336_05,
        0.314_642_478_720_463_47,
        -0.017_906_967_880_900_147,
        -0.172_844_420_791_227_22,
    ],
    [
        -0.035_504_177_230_422_97,
        0.366_807_366_077_677_55,
        -0.438_015_773_462_634_54,
        0.106_712_584_615_379_66,
    ],
    [
        0.004_992_802_893_987_866_6,
        0.050_551_852_386_504_8,
        -0.252_497_482_009_142,
        0.196_952_826_728_649_08,
    ],
    [
        0.165_572_997_263_142_37,
        -0.737_442_333_220_932_4,
        0.487_314_227_942_520_5,
        0.084_555_108_015_269_54,
    ],
];
const PLAN_A: [f64; 5] = [
    0.094_346_411_428_165_08,
    -0.145_557_957_782_768_78,
    -0.363_703_713_690_348_6,
    0.148_102_191_287_698_2,
    0.266_813_068_757_253_97,
];
const PLAN_B: [f64; 4] = [
    -0.358_088_346_818_085_55,
    0.016_786_295_325_722_907,
    0.120_103_461_219_768_59,
    0.221_198_590_272_594,
];
const UNBALANCED_COST: [[f64; 4]; 5] = [
    [
        0.002_518_987_437_215_434_3,
        0.002_268_020_865_689_695_6,
        0.041_566_425_401_159_41,
        0.070_359_610_734_064_91,
    ],
    [
        0.021_064_871_249_146_914,
        0.054_344_395_260_777_88,
        0.092_966_487_148_736_41,
        0.030_194_534_571_584_625,
    ],
    [
        0.193_982_943_902_323_68,
        0.108_774_597_535_808_72,
        0.053_516_872_319_308_85,
        0.022_596_887_743_345_756,
    ],
    [
        0.000_502_817_541_411_262_6,
        0.050_083_726_662_870_37,
        0.132_230_686_706_038_6,
        0.007_185_997_079_505_953,
    ],
    [
        0.015_485_642_053_407_786,
        0.228_588_072_684_020_4,
        0.046_379_929_262_720_35,
        0.002_213_461_610_642_567_2,
    ],
];
const UNBALANCED_A: [f64; 5] = [
    -0.418_298_506_886_352_45,
    -0.186_204_276_965_627_94,
    -0.147_412_299_212_343_94,
    -0.065_643_638_256_501_6,
    -0.010_892_535_244_627_036,
];
const UNBALANCED_B: [f64; 4] = [
    0.370_109_286_770_478_7,
    0.169_524_090_556_824_3,
    0.371_047_435_096_194_26,
    0.559_492_294_381_182,
];
