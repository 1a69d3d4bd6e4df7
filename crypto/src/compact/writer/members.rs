//! The members of lists and objects.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::{Writer, Written, append};
use crate::compact::mistake::Mistake;

/// A list or an object that is being written.
pub(super) struct Members<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) first: bool,
    pub(super) end: &'static [u8],
}

impl Members<'_> {
    fn next(&mut self) -> Writer<'_> {
        if !std::mem::take(&mut self.first) {
            append(self.out, b",");
        }
        Writer(self.out)
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Written {
        self.next().text(name);
        append(self.out, b":");
        value.serialize(Writer(self.out))
    }

    fn finish(self) -> Written {
        Writer(self.out).put(self.end)
    }
}

impl SerializeSeq for Members<'_> {
    type Ok = ();
    type Error = Mistake;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(self.next())
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeTuple for Members<'_> {
    type Ok = ();
    type Error = Mistake;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(self.next())
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeTupleStruct for Members<'_> {
    type Ok = ();
    type Error = Mistake;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(self.next())
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeTupleVariant for Members<'_> {
    type Ok = ();
    type Error = Mistake;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(self.next())
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeMap for Members<'_> {
    type Ok = ();
    type Error = Mistake;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        let Writer(out) = self.next();
        let mut name = Vec::new();
        key.serialize(Writer(&mut name))?;
        // JSON has only text for a name.
        let quote: &[u8] = if name.first() == Some(&b'"') {
            b""
        } else {
            b"\""
        };
        for part in [quote, &name, quote] {
            append(out, part);
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        append(self.out, b":");
        value.serialize(Writer(self.out))
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = Mistake;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Written {
        self.member(name, value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl SerializeStructVariant for Members<'_> {
    type Ok = ();
    type Error = Mistake;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Written {
        self.member(name, value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}
