//! What travels from the loader to an engine: plain data, no behaviour.
//!
//! Rows are crop-major. Crop `v` of all `B` images of a batch occupies rows `v·B .. (v+1)·B`, counted over
//! all groups in order, so "the scores of view v" is a plain range of rows.

/// Pixels of one crop group, channels last.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// As the loader makes them, 0..=255; the engine subtracts the mean and divides by the deviation.
    Bytes(Vec<u8>),
    /// Already normalised: reference data.
    Normalised(Vec<f32>),
}

impl Pixels {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(x) => x.len(),
            Self::Normalised(x) => x.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All crops of one size: `[count · B, size, size, channels]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CropGroup {
    /// Crops of this size per image.
    pub count: usize,
    /// Height and width in pixels.
    pub size: usize,
    /// Channels per pixel.
    pub channels: usize,
    /// The pixels, crop-major, channels last.
    pub pixels: Pixels,
}

impl CropGroup {
    /// Number of crops in the group: `count · B`.
    pub fn rows(&self) -> usize {
        self.pixels.len() / (self.size * self.size * self.channels).max(1)
    }
}

/// The crops of `B` images.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// One group per resolution, in the order of the configuration.
    pub groups: Vec<CropGroup>,
    /// Index of each image in the data set, `[B]`.
    pub image: Vec<u64>,
    /// Targets `[heads, V·B]`, only when the objective needs them; negative means "ignore".
    pub targets: Vec<i32>,
}

impl Batch {
    /// Number of images.
    pub fn images(&self) -> usize {
        self.image.len()
    }
}
