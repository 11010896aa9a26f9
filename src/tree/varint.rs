//! Numbers in as few bytes as they need (LEB128), in their one shortest form.

use super::error::Fault;

pub fn write(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What is left of some bytes while they are read from the front.
pub struct Input<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub fn new(all: &'a [u8]) -> Self {
        Input { all, at: 0 }
    }

    /// Bytes read so far.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn left(&self) -> usize {
        self.all.len() - self.at
    }

    pub fn byte(&mut self) -> Result<u8, Fault> {
        let byte = *self.all.get(self.at).ok_or(Fault::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        if length > self.left() {
            return Err(Fault::Truncated);
        }
        let taken = &self.all[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    /// Refuses longer forms than the shortest, so that equal maps have equal bytes.
    pub fn number(&mut self) -> Result<u64, Fault> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Fault::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(Fault::Number) } else { Ok(number) };
            }
        }
        Err(Fault::Number)
    }

    /// A number that says how many bytes follow.
    pub fn length(&mut self) -> Result<usize, Fault> {
        let length = usize::try_from(self.number()?).map_err(|_| Fault::Number)?;
        if length > self.left() { Err(Fault::Truncated) } else { Ok(length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_only_in_their_shortest_form() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            write(&mut bytes, number);
            assert_eq!(Input::new(&bytes).number(), Ok(number));
            for end in 0..bytes.len() {
                assert_eq!(Input::new(&bytes[..end]).number(), Err(Fault::Truncated));
            }
        }
        assert_eq!(Input::new(&[0x80, 0]).number(), Err(Fault::Number));
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(Input::new(&too_large).number(), Err(Fault::Number));
    }
}
