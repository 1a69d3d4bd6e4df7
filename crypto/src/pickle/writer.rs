//! Writes a pickle as serde_json would.

use std::fmt;

use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Adds the value to `out`; `None` if it is nothing that a pickle holds, and `out` is then of no use.
pub(crate) fn write(value: &impl Serialize, out: &mut Vec<u8>) -> Option<()> {
    value.serialize(Writer(out)).ok()
}

/// Not among the things that pickles are made of: fractions, negative numbers, text that would need
/// an escape.
#[derive(Debug)]
pub(super) struct Unwritable;

type Written<T = ()> = Result<T, Unwritable>;

struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    fn put(self, text: &[u8]) -> Written {
        self.0.extend_from_slice(text);
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

    fn text(self, text: &str) -> Written {
        if text.bytes().any(|b| b < b' ' || b == b'"' || b == b'\\') {
            return Err(Unwritable);
        }
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
        Ok(())
    }

    fn open(self, bracket: u8, end: &'static [u8]) -> Members<'a> {
        self.0.push(bracket);
        Members {
            out: self.0,
            first: true,
            end,
        }
    }

    /// What an enum's variant holds stands in an object under its name.
    fn variant(self, name: &str) -> Written<Self> {
        let Self(out) = self;
        out.push(b'{');
        Writer(out).text(name)?;
        out.push(b':');
        Ok(Self(out))
    }
}

/// A list or an object that is being written.
struct Members<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
    end: &'static [u8],
}

impl Members<'_> {
    fn next(&mut self) -> Writer<'_> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        Writer(self.out)
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Written {
        self.next().text(name)?;
        self.out.push(b':');
        value.serialize(Writer(self.out))
    }

    fn finish(self) -> Written {
        Writer(self.out).put(self.end)
    }
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Unwritable;
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

    fn serialize_i8(self, _: i8) -> Written {
        Err(Unwritable)
    }

    fn serialize_i16(self, _: i16) -> Written {
        Err(Unwritable)
    }

    fn serialize_i32(self, _: i32) -> Written {
        Err(Unwritable)
    }

    fn serialize_i64(self, _: i64) -> Written {
        Err(Unwritable)
    }

    fn serialize_f32(self, _: f32) -> Written {
        Err(Unwritable)
    }

    fn serialize_f64(self, _: f64) -> Written {
        Err(Unwritable)
    }

    fn serialize_char(self, _: char) -> Written {
        Err(Unwritable)
    }

    fn serialize_str(self, value: &str) -> Written {
        self.text(value)
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
        self.text(variant)
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
        let Self(out) = self.variant(variant)?;
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
        Ok(self.variant(variant)?.open(b'[', b"]}"))
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
        Ok(self.variant(variant)?.open(b'{', b"}}"))
    }
}

impl SerializeSeq for Members<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(self.next())
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeTuple for Members<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(self.next())
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeTupleStruct for Members<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(self.next())
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeTupleVariant for Members<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(self.next())
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeMap for Members<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        let Writer(out) = self.next();
        let start = out.len();
        key.serialize(Writer(out))?;
        // JSON has only text for a name.
        if out.get(start) != Some(&b'"') {
            out.insert(start, b'"');
            out.push(b'"');
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.out.push(b':');
        value.serialize(Writer(self.out))
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Written {
        self.member(name, value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeStructVariant for Members<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Written {
        self.member(name, value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unwritable")
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}
