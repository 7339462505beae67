use swav_images::{Image, Resizer};

/// Every channel of an image of two or four is resized as the gray image it is, and as it would be among three.
#[test]
fn channels_are_resized_alike_however_many_there_are() {
    let (width, height, size) = (37, 23, 9);
    let byte = |i: usize, channel: usize| (i * 89 + channel * 61 + i * i % 71) as u8;
    let resized = |channels: &[usize]| {
        let pixels = (0..width * height).flat_map(|i| channels.iter().map(move |&c| byte(i, c)));
        let mut resizer = Resizer::default();
        resizer.open(Image::new(width, height, channels.len(), pixels.collect()));
        let mut out = vec![0; size * size * channels.len()];
        resizer.resize([1.5, 2.25, 30.5, 20.0], size, &mut out);
        out
    };
    for channels in [&[0, 1][..], &[0, 1, 2], &[0, 1, 2, 3]] {
        let together = resized(channels);
        for (at, &channel) in channels.iter().enumerate() {
            let alone = resized(&[channel]);
            assert!(together.iter().skip(at).step_by(channels.len()).eq(&alone), "{channels:?}");
        }
    }
}
