//! Writes as serde_json would.

use serde::ser::{Serialize, Serializer};
use zeroize::Zeroize as _;

use super::mistake::Mistake;

mod members;

use members::Members;

/// Adds the value to `out`; `None` if it holds a fraction or a single character, which nothing does
/// that is written here, and `out` is then of no use.
pub(crate) fn write(value: &impl Serialize, out: &mut Vec<u8>) -> Option<()> {
    value.serialize(Writer(out)).ok()
}

type Written<T = ()> = Result<T, Mistake>;

struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    fn put(self, text: &[u8]) -> Written {
        append(self.0, text);
        Ok(())
    }

    fn number(self, number: u64) -> Written {
        let mut digits = [0; 20];
        let mut rest = number;
        let mut len = 0;
        for digit in digits.iter_mut().rev() {
            // Below ten.
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            len += 1;
            if rest == 0 {
                break;
            }
        }
        self.put(digits.split_at(digits.len() - len).1)
    }

    fn signed(self, number: i64) -> Written {
        if number < 0 {
            append(self.0, b"-");
        }
        self.number(number.unsigned_abs())
    }

    fn text(self, text: &str) {
        append(self.0, b"\"");
        for byte in text.bytes() {
            let short = match byte {
                b'"' | b'\\' => byte,
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0c => b'f',
                b'\r' => b'r',
                0..b' ' => {
                    let [high, low] = [byte >> 4, byte & 15].map(hex_digit);
                    append(self.0, &[b'\\', b'u', b'0', b'0', high, low]);
                    continue;
                }
                _ => {
                    append(self.0, &[byte]);
                    continue;
                }
            };
            append(self.0, &[b'\\', short]);
        }
        append(self.0, b"\"");
    }

    fn open(self, bracket: u8, end: &'static [u8]) -> Members<'a> {
        append(self.0, &[bracket]);
        Members {
            out: self.0,
            first: true,
            end,
        }
    }

    /// What an enum's variant holds stands in an object under its name.
    fn variant(self, name: &str) -> Self {
        let Self(out) = self;
        append(out, b"{");
        Writer(out).text(name);
        append(out, b":");
        Self(out)
    }
}

/// Vec would leave what it held behind when it moves to a larger place.
fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    let needed = out.len() + bytes.len();
    if needed > out.capacity() {
        let mut larger = Vec::with_capacity(needed.max(2 * out.capacity()));
        larger.extend_from_slice(out);
        out.zeroize();
        *out = larger;
    }
    out.extend_from_slice(bytes);
}

fn hex_digit(half: u8) -> u8 {
    match half {
        0..10 => b'0' + half,
        _ => b'a' + half - 10,
    }
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Mistake;
    type SerializeSeq = Members<'a>;
    type SerializeTuple = Members<'a>;
    type SerializeTupleStruct = Members<'a>;
    type SerializeTupleVariant = Members<'a>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Members<'a>;

    fn serialize_bool(self, value: bool) -> Written {
        self.put(if value { b"true" } else { b"false" })
    }

    fn serialize_u8(self, value: u8) -> Written {
        self.number(value.into())
    }

    fn serialize_u16(self, value: u16) -> Written {
        self.number(value.into())
    }

    fn serialize_u32(self, value: u32) -> Written {
        self.number(value.into())
    }

    fn serialize_u64(self, value: u64) -> Written {
        self.number(value)
    }

    fn serialize_i8(self, value: i8) -> Written {
        self.signed(value.into())
    }

    fn serialize_i16(self, value: i16) -> Written {
        self.signed(value.into())
    }

    fn serialize_i32(self, value: i32) -> Written {
        self.signed(value.into())
    }

    fn serialize_i64(self, value: i64) -> Written {
        self.signed(value)
    }

    fn serialize_f32(self, _: f32) -> Written {
        Err(Mistake)
    }

    fn serialize_f64(self, _: f64) -> Written {
        Err(Mistake)
    }

    fn serialize_char(self, _: char) -> Written {
        Err(Mistake)
    }

    fn serialize_str(self, value: &str) -> Written {
        self.text(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Written {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Written {
        self.put(b"null")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Written {
        self.put(b"null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        self.put(b"null")
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Written {
        self.text(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Written {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        let Self(out) = self.variant(variant);
        value.serialize(Writer(out))?;
        Writer(out).put(b"}")
    }

    fn serialize_seq(self, _: Option<usize>) -> Written<Members<'a>> {
        Ok(self.open(b'[', b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Written<Members<'a>> {
        Ok(self.open(b'[', b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Written<Members<'a>> {
        Ok(self.open(b'[', b"]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Written<Members<'a>> {
        Ok(self.variant(variant).open(b'[', b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Written<Members<'a>> {
        Ok(self.open(b'{', b"}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Written<Members<'a>> {
        Ok(self.open(b'{', b"}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Written<Members<'a>> {
        Ok(self.variant(variant).open(b'{', b"}}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That the place it left was wiped can't be seen from here, but who moved it can: Vec takes
    /// eight bytes at least.
    #[test]
    fn what_is_written_is_moved_to_a_larger_place_by_nobody_else() {
        let mut out = Vec::new();
        append(&mut out, b"abc");
        assert_eq!(out.capacity(), 3);
        append(&mut out, b"d");
        assert_eq!(out.capacity(), 6);
        let place = out.as_ptr();
        append(&mut out, b"ef");
        assert_eq!((out.capacity(), out.as_ptr()), (6, place));
        append(&mut out, b"0123456789");
        assert_eq!(out.capacity(), 16);
        assert_eq!(out, b"abcdef0123456789");
    }
}
