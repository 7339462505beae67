//! What a model is worth, without training it further.

pub mod features;
pub mod knn;
pub mod lbfgs;
pub mod linear;
pub mod pca;
pub mod probe;
