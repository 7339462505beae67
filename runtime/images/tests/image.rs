use swav_images::Image;

#[test]
fn channels_convert_as_in_pillow() {
    let rgb = Image::new(2, 1, 3, vec![255, 0, 0, 10, 200, 30]);
    // Image.new("RGB", ...).convert("L"): 76 and 124.
    assert_eq!(rgb.clone().with_channels(1).pixels, [76, 124]);
    assert_eq!(rgb.clone().with_channels(4).pixels, [255, 0, 0, 255, 10, 200, 30, 255]);
    assert_eq!(rgb.with_channels(2).pixels, [76, 255, 124, 255]);
    let la = Image::new(1, 1, 2, vec![9, 3]);
    assert_eq!(la.clone().with_channels(1).pixels, [9]);
    assert_eq!(la.clone().with_channels(3).pixels, [9, 9, 9]);
    assert_eq!(la.with_channels(4).pixels, [9, 9, 9, 3]);
    let rgba = Image::new(1, 1, 4, vec![1, 2, 3, 4]);
    assert_eq!(rgba.clone().with_channels(3).pixels, [1, 2, 3]);
    assert_eq!(rgba.with_channels(2).pixels[1], 4);
}

/// The image is  1 2 3
///               4 5 6  as stored; the table is what a viewer shows.
#[test]
fn orientations_are_those_of_the_exif_standard() {
    let stored = Image::new(3, 2, 1, vec![1, 2, 3, 4, 5, 6]);
    let shown: [(u16, usize, [u8; 6]); 8] = [
        (1, 3, [1, 2, 3, 4, 5, 6]),
        (2, 3, [3, 2, 1, 6, 5, 4]),
        (3, 3, [6, 5, 4, 3, 2, 1]),
        (4, 3, [4, 5, 6, 1, 2, 3]),
        (5, 2, [1, 4, 2, 5, 3, 6]),
        (6, 2, [4, 1, 5, 2, 6, 3]),
        (7, 2, [6, 3, 5, 2, 4, 1]),
        (8, 2, [3, 6, 2, 5, 1, 4]),
    ];
    for (orientation, width, pixels) in shown {
        let image = stored.clone().upright(orientation);
        assert_eq!((image.width, &image.pixels[..]), (width, &pixels[..]), "{orientation}");
    }
}
