//! A link as a QR code, for whoever shows it to somebody rather than sends it.

use qrcodegen::{QrCode, QrCodeEcc};

/// How many pixels one square of the code is wide: about five centimetres on a telephone in all.
const SQUARE: usize = 8;
/// The white around the code, in squares, as ISO 18004 asks for.
const MARGIN: usize = 4;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum QrError {
    /// More than a code can hold, which is about two thousand characters.
    #[error("the text is too long for a QR code")]
    TooLong,
    /// The picture can't be written.
    #[error("the picture can't be written")]
    Png(#[from] png::EncodingError),
}

/// A picture.
pub struct Picture {
    /// PNG, black and white.
    pub png: Vec<u8>,
    /// Width and height in pixels.
    pub side: u32,
}

/// Draws this text.
pub fn draw(text: &str) -> Result<Picture, QrError> {
    // A quarter of the code may be unreadable; with less it would hardly be smaller.
    let code = QrCode::encode_text(text, QrCodeEcc::Quartile).map_err(|_| QrError::TooLong)?;
    let squares = usize::try_from(code.size()).map_err(|_| QrError::TooLong)?;
    let side = (squares + 2 * MARGIN) * SQUARE;
    let mut rows = Vec::with_capacity(side * side.div_ceil(8));
    for y in 0..side {
        let dark = |x: usize| {
            let place =
                |pixel: usize| i32::try_from(pixel / SQUARE).unwrap_or(i32::MAX) - MARGIN as i32;
            // Beyond the code all is light.
            code.get_module(place(x), place(y))
        };
        for byte in 0..side.div_ceil(8) {
            let bits = (0..8).map(|bit| byte * 8 + bit);
            rows.push(bits.fold(0u8, |bits, x| bits << 1 | u8::from(!dark(x))));
        }
    }
    let side = u32::try_from(side).map_err(|_| QrError::TooLong)?;
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rows)?;
    writer.finish()?;
    Ok(Picture { png, side })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]

    use super::*;

    /// Reads a picture as a camera would.
    fn read(png: &[u8]) -> String {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let size = reader.next_frame(&mut pixels).unwrap();
        let (width, height) = (size.width as usize, size.height as usize);
        let grey = |x: usize, y: usize| pixels[y * size.line_size + x];
        let mut seen = rqrr::PreparedImage::prepare_from_greyscale(width, height, grey);
        let [code] = &seen.detect_grids()[..] else {
            panic!("one code");
        };
        code.decode().unwrap().1
    }

    #[test]
    fn a_camera_reads_exactly_the_link() {
        for link in [
            "https://chat.example.org/#0123456789abcdefghjkmnpqrs",
            "https://a.example/guest/with/a/rather/long/path/#00000000000000000000000000",
            "http://127.0.0.1:29301/#zzzzzzzzzzzzzzzzzzzzzzzzzz",
        ] {
            let picture = draw(link).unwrap();
            assert_eq!(read(&picture.png), link);
            assert!(picture.png.len() < 4096, "{}", picture.png.len());
            assert!((200..=600).contains(&picture.side), "{}", picture.side);
        }
    }

    #[test]
    fn what_no_code_can_hold_is_refused() {
        let refused = draw(&"x".repeat(3000));
        assert!(matches!(refused, Err(QrError::TooLong)));
    }
}
