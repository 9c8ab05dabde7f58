//! Escaping text for HTML.

use std::fmt::{self, Write};

use askama::filters::Escaper;

/// An escaper for text between tags and in quoted attributes. It replaces control characters other than line breaks and
/// tabs.
#[derive(Clone, Copy)]
pub(super) struct Html;

impl Escaper for Html {
    fn write_escaped_str<W: Write>(&self, mut page: W, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => page.write_str("&amp;")?,
                '<' => page.write_str("&lt;")?,
                '>' => page.write_str("&gt;")?,
                '"' => page.write_str("&quot;")?,
                '\'' => page.write_str("&#39;")?,
                '\n' | '\t' => page.write_char(c)?,
                c if c.is_control() => page.write_char('\u{fffd}')?,
                c => page.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_open_a_tag_or_leave_an_attribute() {
        let hostile = "</pre><script>alert('1')</script> \" & \u{1b}[31m\0\r\nnext";
        let mut escaped = String::new();
        Html.write_escaped_str(&mut escaped, hostile).unwrap();
        assert_eq!(
            escaped,
            "&lt;/pre&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &quot; &amp; \u{fffd}[31m\u{fffd}\u{fffd}\nnext"
        );
    }
}
