//! Escaping text for HTML.

use std::fmt::{self, Write};

use askama::filters::Escaper;

use crate::report::text::is_printable;

/// An escaper for text between tags and in quoted attributes. It replaces characters that are not printable, other than
/// line breaks and tabs.
#[derive(Clone, Copy)]
pub(crate) struct Html;

impl Escaper for Html {
    fn write_escaped_str<W: Write>(&self, mut page: W, text: &str) -> fmt::Result {
        let mut previous = ' ';
        for c in text.chars() {
            let is_shown = is_printable(c, previous);
            previous = c;
            match c {
                '&' => page.write_str("&amp;")?,
                '<' => page.write_str("&lt;")?,
                '>' => page.write_str("&gt;")?,
                '"' => page.write_str("&quot;")?,
                '\'' => page.write_str("&#39;")?,
                '\n' | '\t' => page.write_char(c)?,
                _ if !is_shown => page.write_char('\u{fffd}')?,
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
