//! Lists of paths as `--files-from` reads them.

/// What ends a path in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    /// One path a line; empty lines and lines that begin with `#` are no paths.
    Line,
    /// Every byte but NUL is part of a path.
    Nul,
}

/// The paths in their order, any bytes.
pub fn paths_in(text: &[u8], separator: Separator) -> Vec<Vec<u8>> {
    let byte = match separator {
        Separator::Line => b'\n',
        Separator::Nul => 0,
    };
    let is_path = |line: &&[u8]| {
        let comment = separator == Separator::Line && line.starts_with(b"#");
        !line.is_empty() && !comment
    };
    let lines = text.split(|other| *other == byte).map(|line| match separator {
        Separator::Line => line.strip_suffix(b"\r").unwrap_or(line),
        Separator::Nul => line,
    });
    lines.filter(is_path).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let text = b"/a b\n\n# no\n/c\xff\r\n #yes\n/last";
        let paths: [&[u8]; 4] = [b"/a b", b"/c\xff", b" #yes", b"/last"];
        assert_eq!(paths_in(text, Separator::Line), paths);
    }

    #[test]
    fn between_nuls() {
        let paths: [&[u8]; 3] = [b"/a\nb", b"#c", b"/d\r"];
        assert_eq!(paths_in(b"/a\nb\0#c\0\0/d\r\0", Separator::Nul), paths);
    }
}
