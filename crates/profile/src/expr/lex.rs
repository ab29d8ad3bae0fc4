//! The words of an expression, with where they stand.

use super::{ExprError, LONGEST};

/// A word and its column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) column: usize,
}

/// What a word is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// Letters, digits and `_`.
    Word(String),
    /// Something between quotes.
    Quoted(String),
    /// A finite number.
    Number(f64),
    /// `= != < <= > >= ~ !~ ( ) ,`
    Sign(&'static str),
    /// Nothing more.
    End,
}

impl TokenKind {
    /// For errors.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Quoted(text) => format!("the text `{text}`"),
            Self::Number(number) => format!("the number {number}"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// The longer ones first. `==` is what programmers write for `=`.
const SIGNS: [(&str, &str); 13] = [
    ("==", "="),
    ("!=", "!="),
    ("<>", "!="),
    ("<=", "<="),
    (">=", ">="),
    ("!~", "!~"),
    ("=", "="),
    ("<", "<"),
    (">", ">"),
    ("~", "~"),
    ("(", "("),
    (")", ")"),
    (",", ","),
];

/// Words that are never names.
const KEYWORDS: [&str; 6] = ["and", "or", "not", "in", "true", "false"];

pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

/// Whether a name needs no quotes.
pub(super) fn is_bare_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    begins && name.chars().all(is_word) && !is_keyword(name)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// All words, ended by [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExprError> {
    if text.len() > LONGEST {
        return Err(ExprError::TooMuch {
            column: 1,
            what: "an expression has at most 4096 bytes",
        });
    }
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut column = 1;
    loop {
        let trimmed = rest.trim_start();
        column += rest[..rest.len() - trimmed.len()].chars().count();
        rest = trimmed;
        let Some(first) = rest.chars().next() else {
            let kind = TokenKind::End;
            tokens.push(Token { kind, column });
            return Ok(tokens);
        };
        let (kind, length) = match first {
            '\'' | '"' => quoted(rest, first).ok_or(ExprError::Unclosed { column })?,
            '0'..='9' | '-' | '+' | '.' => number(rest, column)?,
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (TokenKind::Word(rest[..length].to_owned()), length)
            }
            other => sign(rest).ok_or_else(|| ExprError::Unexpected {
                column,
                expected: "a name, a value or an operator",
                found: format!("`{other}`"),
            })?,
        };
        tokens.push(Token { kind, column });
        column += rest[..length].chars().count();
        rest = &rest[length..];
    }
}

/// The text between quotes, in which a doubled quote stands for one.
fn quoted(rest: &str, quote: char) -> Option<(TokenKind, usize)> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != quote {
            text.push(c);
        } else if characters.peek().is_some_and(|(_, next)| *next == quote) {
            characters.next();
            text.push(quote);
        } else {
            return Some((TokenKind::Quoted(text), at + c.len_utf8()));
        }
    }
    None
}

fn number(rest: &str, column: usize) -> Result<(TokenKind, usize), ExprError> {
    let mut before = ' ';
    let end = rest.find(|c: char| {
        let signed = matches!(c, '+' | '-') && matches!(before, 'e' | 'E' | ' ');
        before = c;
        !(signed || is_word(c) || c == '.')
    });
    let length = end.unwrap_or(rest.len());
    let text = &rest[..length];
    let begins = text.trim_start_matches(['+', '-']);
    // Rust reads `inf` and `nan` as numbers, too.
    let digits = begins.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text.parse::<f64>() {
        Ok(number) if digits && number.is_finite() => Ok((TokenKind::Number(number), length)),
        _ => Err(ExprError::Unexpected {
            column,
            expected: "a number (texts that begin with a digit are quoted)",
            found: format!("`{text}`"),
        }),
    }
}

fn sign(rest: &str) -> Option<(TokenKind, usize)> {
    let (written, meant) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign))?;
    Some((TokenKind::Sign(meant), written.len()))
}
