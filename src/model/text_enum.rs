//! Enums whose variants are words in records and in the store.

/// A word that no variant of an enum has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown value `{0}`; a newer rigup may have written it")]
pub struct UnknownWord(pub String);

/// Defines an enum with one word for each variant. `as_str`, `Display`, `FromStr` and `Serialize` use these words, and
/// `ALL` contains the variants.
macro_rules! text_enum {
    (
        $(#[$enum_doc:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$enum_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $visibility enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All variants, in the order of their definition.
            $visibility const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// Returns the word of the variant in records and in the store.
            $visibility const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::text_enum::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .into_iter()
                    .find(|variant| variant.as_str() == word)
                    .ok_or_else(|| $crate::model::text_enum::UnknownWord(word.to_owned()))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use text_enum;

#[cfg(test)]
mod tests {
    use super::*;

    text_enum! {
        /// Two colors.
        enum Color {
            /// The color red.
            Red = "red",
            /// The color dark blue.
            DarkBlue = "dark_blue",
        }
    }

    #[test]
    fn a_variant_is_written_and_parsed_as_its_word() {
        for color in Color::ALL {
            assert_eq!(color.as_str().parse(), Ok(color));
            assert_eq!(serde_json::to_value(color).unwrap(), color.to_string());
        }
        assert_eq!("blue".parse::<Color>(), Err(UnknownWord("blue".to_owned())));
    }
}
