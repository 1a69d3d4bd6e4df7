//! Reads a pickle: JSON without spaces and escapes, as it is written here.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::mistake::Mistake;

mod key;

use key::Key;

/// Deeper than any pickle nests.
const MAX_DEPTH: usize = 32;

/// Gives the value, or `None` if the text isn't one.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    let mut reader = Reader {
        rest: text,
        depth: 0,
    };
    let value = T::deserialize(&mut reader).ok()?;
    reader.rest.is_empty().then_some(value)
}

type Read<T> = Result<T, Mistake>;

struct Reader<'de> {
    rest: &'de [u8],
    depth: usize,
}

impl<'de> Reader<'de> {
    fn peek(&self) -> Read<u8> {
        self.rest.first().copied().ok_or(Mistake)
    }

    fn eat(&mut self, word: &[u8]) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, word: &[u8]) -> Read<()> {
        if self.eat(word) { Ok(()) } else { Err(Mistake) }
    }

    fn number(&mut self) -> Read<u64> {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at_checked(digits).ok_or(Mistake)?;
        self.rest = rest;
        parse_number(digits)
    }

    fn text(&mut self) -> Read<&'de str> {
        self.expect(b"\"")?;
        let end = self.rest.iter().position(|b| *b == b'"');
        let (text, rest) = self
            .rest
            .split_at_checked(end.ok_or(Mistake)?)
            .ok_or(Mistake)?;
        self.rest = rest.get(1..).unwrap_or_default();
        if text.contains(&b'\\') {
            return Err(Mistake);
        }
        std::str::from_utf8(text).map_err(|_| Mistake)
    }

    fn deeper(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Mistake);
        }
        Ok(())
    }

    /// Moves on to the next member; false at the end.
    fn next(&mut self, first: &mut bool, end: &[u8]) -> Read<bool> {
        if self.eat(end) {
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b",")?;
        }
        Ok(true)
    }

    fn list<V: Visitor<'de>>(&mut self, visitor: V) -> Read<V::Value> {
        self.expect(b"[")?;
        self.deeper()?;
        let mut members = Members::of(self);
        let value = visitor.visit_seq(&mut members)?;
        // Whoever knows how many there are doesn't ask for the end.
        if !members.over {
            self.expect(b"]")?;
        }
        self.depth -= 1;
        Ok(value)
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Read<V::Value> {
        self.expect(b"{")?;
        self.deeper()?;
        let mut members = Members::of(self);
        let value = visitor.visit_map(&mut members)?;
        if !members.over {
            self.expect(b"}")?;
        }
        self.depth -= 1;
        Ok(value)
    }
}

fn parse_number(digits: &[u8]) -> Read<u64> {
    let text = std::str::from_utf8(digits).map_err(|_| Mistake)?;
    text.parse().map_err(|_| Mistake)
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.peek()? {
            b'{' => self.object(visitor),
            b'[' => self.list(visitor),
            b'"' => visitor.visit_borrowed_str(self.text()?),
            b't' => self.expect(b"true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self
                .expect(b"false")
                .and_then(|()| visitor.visit_bool(false)),
            b'n' => self.expect(b"null").and_then(|()| visitor.visit_unit()),
            _ => visitor.visit_u64(self.number()?),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let value = self.eat(b"true");
        if !value {
            self.expect(b"false")?;
        }
        visitor.visit_bool(value)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        if self.eat(b"null") {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.list(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.list(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Read<V::Value> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Read<V::Value> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.object(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.object(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        if self.peek()? == b'"' {
            return visitor.visit_enum(BorrowedStrDeserializer::new(self.text()?));
        }
        self.expect(b"{")?;
        self.deeper()?;
        let value = visitor.visit_enum(&mut *self)?;
        self.expect(b"}")?;
        self.depth -= 1;
        Ok(value)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 f64 char unit unit_struct ignored_any
    }
}

/// The members of a list or an object.
struct Members<'a, 'de> {
    reader: &'a mut Reader<'de>,
    first: bool,
    over: bool,
}

impl<'a, 'de> Members<'a, 'de> {
    fn of(reader: &'a mut Reader<'de>) -> Self {
        Self {
            reader,
            first: true,
            over: false,
        }
    }

    fn next(&mut self, end: &[u8]) -> Read<bool> {
        let more = self.reader.next(&mut self.first, end)?;
        self.over = !more;
        Ok(more)
    }
}

impl<'de> SeqAccess<'de> for &mut Members<'_, 'de> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        if !self.next(b"]")? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Members<'_, 'de> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        if !self.next(b"}")? {
            return Ok(None);
        }
        seed.deserialize(Key(self.reader.text()?)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Read<V::Value> {
        self.reader.expect(b":")?;
        seed.deserialize(&mut *self.reader)
    }
}

/// A variant with something in it: `{"Name":value}`.
impl<'de> EnumAccess<'de> for &mut Reader<'de> {
    type Error = Mistake;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Read<(V::Value, Self)> {
        let name = seed.deserialize(Key(self.text()?))?;
        self.expect(b":")?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'de> {
    type Error = Mistake;

    fn unit_variant(self) -> Read<()> {
        self.expect(b"null")
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Read<T::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Read<V::Value> {
        self.list(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.object(visitor)
    }
}
