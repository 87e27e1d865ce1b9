//! Pictures that are drawn as SVG become PNG, which every mail program shows.
//!
//! Only this crate rasterises, so that only what sends messages carries the means: resvg with nothing but its text, and
//! one font with Latin letters, kana and the kanji of JIS level 1 (`fonts/`, SIL Open Font License).

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

/// How many pixels of the picture stand for one of the SVG: screens have two.
const SCALE: f32 = 2.0;
/// Most pixels of a side.
const SIDE_MAX: f32 = 4096.0;

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(include_bytes!("../fonts/noto-sans-jp-subset.ttf").to_vec());
    Arc::new(fonts)
});

/// Draws an SVG; `None` when it is none, or of no sensible size.
pub(crate) fn png(svg: &[u8]) -> Option<Vec<u8>> {
    let options = Options { fontdb: Arc::clone(&FONTS), ..Options::default() };
    let tree = Tree::from_data(svg, &options).ok()?;
    let size = tree.size();
    let side = |length: f32| {
        let pixels = (length * SCALE).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be small and positive")]
        (1.0..=SIDE_MAX).contains(&pixels).then_some(pixels as u32)
    };
    let mut picture = Pixmap::new(side(size.width())?, side(size.height())?)?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
    picture.encode_png().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str) -> Vec<u8> {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"120\" height=\"30\" font-family=\"Noto Sans JP\">\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/><text x=\"4\" y=\"20\">{text}</text></svg>"
        );
        png(svg.as_bytes()).unwrap()
    }

    #[test]
    fn letters_kana_and_kanji_are_drawn_each_as_itself() {
        let empty = drawn("");
        let all: Vec<Vec<u8>> =
            ["A", "カ", "ガ", "使", "用", "率", "上", "。"].iter().map(|text| drawn(text)).collect();
        let box_of_the_unknown = drawn("\u{10ffff}");
        for (place, one) in all.iter().enumerate() {
            assert_ne!(*one, empty);
            assert_ne!(*one, box_of_the_unknown);
            assert!(!all[..place].contains(one), "two characters look the same");
        }
        let picture = Pixmap::decode_png(&all[0]).unwrap();
        assert_eq!((picture.width(), picture.height()), (240, 60));
    }

    #[test]
    fn what_is_no_picture_is_not_drawn() {
        assert_eq!(png(b"<p>"), None);
        let svg = |size: &str| format!("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{size}\" height=\"10\"/>");
        assert_eq!(png(svg("100000").as_bytes()), None);
        assert!(png(svg("10").as_bytes()).is_some());
    }
}
