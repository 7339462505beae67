//! Coming from POT, OTT or GeomLoss: what their calls are called here, and by how much their numbers differ.
//!
//! Every formula was checked in f64 against POT 0.9.7, OTT 0.6.0 and GeomLoss 0.3.1, on the problem at the end of this
//! page or one as small. Names are those of this crate: W is [`Solution::value`], μ_a and μ_b are the masses, μ if they
//! are equal, n × m is the shape; *up to a constant* means that a constant may be moved from f to g.
//!
//! # Conventions
//!
//! | | here | POT | OTT | GeomLoss, `SamplesLoss` |
//! | --- | --- | --- | --- | --- |
//! | ε | `epsilon`, in units of the cost | `reg`, the same | `epsilon`, the same; default 0.05 std(C) | ε = p `blur`ᵖ |
//! | cost of points | ‖x − y‖² | `ot.dist`: the same | `PointCloud`: the same | ‖x − y‖ᵖ/p, p = 1 or 2 |
//! | reference of the plan | a⊗b, or 1: [`Reference`] | a⊗b (`"KL"`), 1 (`"entropy"`) | 1 | a⊗b |
//! | regulariser | + ε (Σ P ln(P/R) − Σ P + Σ R) | + ε Σ P ln(P/R) | balanced: ours | ours; unbalanced see below |
//! | potentials | f, g in units of the cost | f/ε + ln a, … | f + ε ln a, … | f/p, g/p |
//! | gauge | ⟨a, f⟩ = ⟨b, g⟩ | as it comes | as it comes | as it comes |
//! | first iterate | f = 0 | f = −ε ln a | f = −ε ln a | annealed from the diameter |
//! | tolerance | L1 of the columns, relative, 1e-9 | `stopThr`: their L2, 1e-9 | `threshold`: their L1, 1e-3 | none |
//! | looked at | every iteration | every 10th | every 10th | never |
//! | exact on return | rows | rows | rows | neither |
//! | soft marginals | ρ: [`Marginal::Kl`] | `reg_m` = ρ, inf: hard | `tau` = ρ/(ρ + ε) | ρ = p `reach`ᵖ |
//! | masses that differ | an error | accepted, but by `emd` | accepted | accepted |
//!
//! With [`Reference::Counting`] the first iterate and all others are those of POT and OTT, and the potentials OTT's.
//!
//! # POT
//!
//! | POT | here |
//! | --- | --- |
//! | `ot.emd(a, b, M)`, `ot.emd2` | [`exact::emd`]: `plan()`, `value`; `log["u"]` is `f` up to a constant |
//! | `ot.sinkhorn(a, b, M, reg)` | [`Problem::new`], [`Sinkhorn::solve`], [`plan`] |
//! | `ot.sinkhorn2(a, b, M, reg)` | [`linear`] |
//! | `ot.solve(M, a, b, reg).value` | W − ε (μ² − μ) |
//! | `ot.solve(.., reg_type="entropy").value`, `ot.batch` | W − ε (n m − μ), W with `Reference::Counting` |
//! | `ot.solve(..).potentials` | f/ε + ln a, g/ε + ln b up to a constant |
//! | `ot.unbalanced.sinkhorn_unbalanced(.., reg_m)` | [`Problem::with_marginals`]; `"entropy"`: `Counting` |
//! | `ot.partial.partial_wasserstein(a, b, M, m)` | [`exact::partial`] |
//! | `ot.partial.entropic_partial_wasserstein(..)` | [`Partial::new`] with `Reference::Counting`, [`Capped`] |
//! | `ot.bregman.barycenter(A, M, reg, weights)` | [`Barycenter::new`], columns of A |
//! | `ot.bregman.barycenter_debiased` | [`Barycenter { debiased: true, .. }`] |
//! | `ot.bregman.empirical_sinkhorn_divergence` | [`Divergence::linear`], not its `value` |
//! | `ot.da.SinkhornTransport(reg_e).transform(Xs)` | [`barycentric`] of uniform weights; new points: [`map_at`] |
//! | `ot.wasserstein_1d(x, y, a, b, p)` | [`exact::line`], `value`: Wᵖ, not W |
//! | `ot.wasserstein_circle` | [`exact::circle`], `value` |
//! | `ot.sliced_wasserstein_distance(.., projections=Θ)` | [`exact::sliced`] along the rows of Θᵀ |
//! | B · `ot.bregman.sinkhorn_knopp(1/B, 1/K, -S, reg, numItermax=r)` | [`codes`] of S after r rounds |
//!
//! POT's default, `method="sinkhorn"`, iterates with exp(−C/ε), which underflows at small ε; `"sinkhorn_log"` does not,
//! nor does any [`Method`].
//!
//! # OTT
//!
//! | OTT | here |
//! | --- | --- |
//! | `linear.solve(Geometry(C, epsilon=..), a, b).matrix` | `plan` |
//! | `.f`, `.g` | `f`, `g` with `Reference::Counting`, up to a constant; f + ε ln a |
//! | `.reg_ot_cost` | W, and its gradients are ours: [`weights_gradient`] when centred, [`points_gradient`] |
//! | `.primal_cost` | `linear` |
//! | `.ent_reg_cost`, `.dual_cost` | W − ε (n m − μ), W with `Reference::Counting` |
//! | `.apply(y.T, axis=1) / a` | `barycentric` |
//! | `linear.solve(.., tau_a, tau_b)` | `Marginal::from_tau(tau, ε)` with `Reference::Counting`; the plan |
//! | `sinkhorn_divergence(PointCloud, x, y, a, b, epsilon)` | [`SinkhornDivergence`], `value` |
//! | `PointCloud(x, y, cost_fn=Euclidean())`, `Cosine()` | [`Points`]: [`Metric::Euclidean`], `Cosine` (to 1e-7) |
//! | `Grid(x=[..])` | [`Grid`], a cost for each axis |
//! | `tools.unreg.hungarian` | [`exact::assignment`]: `column`; OTT's cost is `value`/n |
//! | `discrete_barycenter.FixedBarycenter(debiased=False)` | `Barycenter::new` |
//! | `soft_sort.ranks`, `soft_sort.sort` | n P (0, 1, …)ᵀ, n Pᵀ x: the example `sort_and_rank`; no squashing |
//!
//! # GeomLoss
//!
//! L is what `SamplesLoss("sinkhorn", p, blur)(a, x, b, y)` returns, S is [`Divergence::value`]. Its annealing left 1 %
//! of L at the default `scaling=0.5`; the formulas were checked at 0.999: values to 1e-5, potentials, gradients to
//! 5e-4.
//!
//! | GeomLoss | here |
//! | --- | --- |
//! | p = 2 | S = 2 L at ε = 2 blur², [`Metric::SquaredEuclidean`] |
//! | p = 1 | S = L at ε = blur, `Metric::Euclidean`; GeomLoss takes no distance below 1e-4, which moved L as much |
//! | `debias=False` | W = p L |
//! | `reach=r` | `Marginal::Kl(p rᵖ)`; p = 1: `Marginal::from_reach(r, 1.0)` |
//! | `reach=r, debias=False` | W = p L + ε (μ_a μ_b − (μ_a + μ_b)/2) |
//! | `potentials=True` | `d_a`/p, `d_b`/p up to a constant; not debiased f/p, g/p |
//! | gradient of L by x | that of [`with_gradients`], /p |
//! | `SamplesLoss("energy")` | the limit of S for ε → ∞, `Metric::Euclidean` |
//! | `geomloss.ot.solve(C, reg=..)`, `solve_sample` | W, also `unbalanced` = ρ; points at ‖x − y‖², ε = 2 blur² |
//!
//! # SuperGlue
//!
//! `log_optimal_transport(scores, alpha, iters)` is the logarithm of the plan of [`Dustbin::new`] with the cost
//! −scores, weights 1 and the price −alpha, at ε = 1.
//!
//! # The problem that it was held to
//!
//! The numbers are those that the three print.
//!
//! ```
//! use ndarray::array;
//! use swav_core::transport::{Capped, Marginal, Metric, Partial, Points, Problem};
//! use swav_core::transport::{Reference, Sinkhorn, SinkhornDivergence};
//!
//! let near = |ours: f64, theirs: f64, tolerance: f64| {
//!     assert!((ours - theirs).abs() < tolerance, "{ours}, not {theirs}")
//! };
//! let (x, y) = (array![[0.0_f64, 0.0], [1.0, 0.0], [0.0, 2.0]], array![[1.0, 1.0], [0.5, 0.0]]);
//! let (a, b) = (array![0.2, 0.5, 0.3], array![0.6, 0.4]);
//! let epsilon = 0.5;
//! let geometry = Points::new(&x, &y, Metric::SquaredEuclidean)?;
//! let tight = Sinkhorn { tolerance: 1e-14, ..Sinkhorn::default() };
//!
//! let problem = Problem::new(&geometry, &a, &b, epsilon)?;
//! let solution = tight.solve(&problem)?;
//! near(solution.plan()[[0, 0]], 0.027934222823634888, 1e-12); // ot.sinkhorn(..)[0, 0], OTT matrix[0, 0]
//! near(solution.linear(), 1.0297900951113537, 1e-12); // ot.sinkhorn2, OTT primal_cost
//! near(solution.value(), 1.1513813223003562, 1e-12); // ot.solve(..).value, OTT reg_ot_cost
//! near(solution.value() / 2.0, 0.5756905675520101, 1e-6); // SamplesLoss(p=2, blur=0.5, debias=False)
//! let log_u = |i: usize| solution.f[i] / epsilon + a[i].ln(); // ot.solve(..).potentials[0]
//! near(log_u(1) - log_u(0), -0.30355200459249976 + 0.5820145301117317, 1e-12);
//!
//! let counting = problem.clone().with_reference(Reference::Counting);
//! let solution = tight.solve(&counting)?;
//! near(solution.f[1] - solution.f[0], -0.15177600229624988 + 0.2910072650558657, 1e-12); // OTT f
//! near(solution.value() - epsilon * (6.0 - 1.0), 0.3000489817634445, 1e-12); // reg_type="entropy", OTT ent_reg_cost
//! near(Sinkhorn::rounds(3).solve(&counting)?.error, 0.02622340845458371, 1e-12); // OTT errors[2]
//!
//! let divergence = SinkhornDivergence { sinkhorn: tight, ..SinkhornDivergence::new(epsilon) };
//! let found = divergence.between_points((&x, &a), (&y, &b), Metric::SquaredEuclidean)?;
//! near(found.value, 0.7649963652126892, 1e-12); // OTT sinkhorn_divergence
//! near(found.value / 2.0, 0.3824980889164331, 1e-6); // SamplesLoss(p=2, blur=0.5)
//! near(found.linear(), 0.9458871448061981, 1e-12); // ot.bregman.empirical_sinkhorn_divergence
//!
//! // b times 1.7, and marginals that are soft.
//! let b = &b * 1.7;
//! let soft = [Marginal::Kl(1.0); 2];
//! let problem = Problem::with_marginals(&geometry, &a, &b, epsilon, soft)?;
//! near(tight.solve(&problem)?.plan().sum(), 0.9174284016716834, 1e-12); // ot.unbalanced, reg_m=1
//! let tau = [Marginal::from_tau(2.0 / 3.0, epsilon); 2];
//! let problem = Problem::with_marginals(&geometry, &a, &b, epsilon, tau)?.with_reference(Reference::Counting);
//! near(tight.solve(&problem)?.plan().sum(), 1.164200114737485, 1e-12); // OTT tau=2/3, ot.unbalanced "entropy"
//! let reach = SinkhornDivergence { marginal: Marginal::Kl(2.0), ..divergence }; // SamplesLoss(p=2, reach=1)
//! let found = reach.between_points((&x, &a), (&y, &b), Metric::SquaredEuclidean)?;
//! near(found.value / 2.0, 0.5286048689521499, 1e-5);
//! let masses = 1.7 - (1.0 + 1.7) / 2.0;
//! near((found.parts[0].value - epsilon * masses) / 2.0, 0.6539673798221228, 1e-5); // its debias=False
//!
//! let b = &b / 1.7;
//! let partial = Partial::new(&geometry, &a, &b, epsilon, 0.6)?.with_reference(Reference::Counting);
//! let capped = Capped { tolerance: 1e-13, ..Capped::default() };
//! near(capped.solve(&partial)?.plan()[[1, 1]], 0.21801918283025778, 1e-11); // entropic_partial_wasserstein, m=0.6
//! # Ok::<(), swav_core::Error>(())
//! ```
//!
//! [`Solution::value`]: super::Solution::value
//! [`Reference`]: super::Reference
//! [`Marginal::Kl`]: super::Marginal
//! [`Reference::Counting`]: super::Reference
//! [`exact::emd`]: super::exact::emd()
//! [`Problem::new`]: super::Problem::new
//! [`Sinkhorn::solve`]: super::Sinkhorn::solve
//! [`plan`]: super::Solution::plan
//! [`linear`]: super::Solution::linear
//! [`Problem::with_marginals`]: super::Problem::with_marginals
//! [`exact::partial`]: super::exact::partial()
//! [`Partial::new`]: super::Partial::new
//! [`Capped`]: super::Capped
//! [`Barycenter::new`]: super::Barycenter::new
//! [`Barycenter { debiased: true, .. }`]: super::Barycenter
//! [`Divergence::linear`]: super::Divergence::linear
//! [`barycentric`]: super::Solution::barycentric
//! [`map_at`]: super::Solution::map_at
//! [`exact::line`]: super::exact::line()
//! [`exact::circle`]: super::exact::circle()
//! [`exact::sliced`]: super::exact::sliced()
//! [`codes`]: crate::codes()
//! [`Method`]: super::Method
//! [`weights_gradient`]: super::Solution::weights_gradient
//! [`points_gradient`]: super::Solution::points_gradient
//! [`SinkhornDivergence`]: super::SinkhornDivergence
//! [`Points`]: super::Points
//! [`Metric::Euclidean`]: super::Metric
//! [`Grid`]: super::Grid
//! [`exact::assignment`]: super::exact::assignment()
//! [`Divergence::value`]: super::Divergence
//! [`Metric::SquaredEuclidean`]: super::Metric
//! [`with_gradients`]: super::SinkhornDivergence::with_gradients
//! [`Dustbin::new`]: super::Dustbin::new
