//! From words to a tree, by recursive descent.

use std::str::FromStr;

use super::lex::{Token, TokenKind, is_keyword, tokens};
use super::{DEEPEST, Expr, ExprError, Name, Operator, Pattern, Predicate, Test};
use crate::value::Value;

impl FromStr for Expr {
    type Err = ExprError;

    fn from_str(text: &str) -> Result<Self, ExprError> {
        let mut parser = Parser {
            tokens: tokens(text)?,
            at: 0,
            depth: 0,
        };
        let expr = parser.any()?;
        parser.end()?;
        Ok(expr)
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn token(&self) -> &Token {
        &self.tokens[self.at]
    }

    fn take(&mut self) -> Token {
        let token = self.token().clone();
        // The last is the end, which is never passed.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn word(&mut self, wanted: &str) -> bool {
        let found = matches!(&self.token().kind, TokenKind::Word(word) if word == wanted);
        if found {
            self.take();
        }
        found
    }

    fn sign(&mut self, wanted: &str) -> bool {
        let found = matches!(&self.token().kind, TokenKind::Sign(sign) if *sign == wanted);
        if found {
            self.take();
        }
        found
    }

    fn unexpected<T>(&self, expected: &'static str) -> Result<T, ExprError> {
        let token = self.token();
        Err(ExprError::Unexpected {
            column: token.column,
            expected,
            found: token.kind.described(),
        })
    }

    fn end(&self) -> Result<(), ExprError> {
        match self.token().kind {
            TokenKind::End => Ok(()),
            _ => self.unexpected("`and`, `or` or the end"),
        }
    }

    fn any(&mut self) -> Result<Expr, ExprError> {
        let mut parts = vec![self.all()?];
        while self.word("or") {
            parts.push(self.all()?);
        }
        Ok(joined(parts, Expr::Any))
    }

    fn all(&mut self) -> Result<Expr, ExprError> {
        let mut parts = vec![self.factor()?];
        while self.word("and") {
            parts.push(self.factor()?);
        }
        Ok(joined(parts, Expr::All))
    }

    fn factor(&mut self) -> Result<Expr, ExprError> {
        let column = self.token().column;
        if self.word("not") {
            let inner = self.deeper(column, Self::factor)?;
            return Ok(Expr::Not(Box::new(inner)));
        }
        if self.sign("(") {
            let inner = self.deeper(column, Self::any)?;
            if !self.sign(")") {
                return self.unexpected("`and`, `or` or `)`");
            }
            return Ok(inner);
        }
        for (word, truth) in [("true", true), ("false", false)] {
            if self.word(word) {
                return Ok(Expr::Always(truth));
            }
        }
        self.test()
    }

    fn deeper(
        &mut self,
        column: usize,
        parse: fn(&mut Self) -> Result<Expr, ExprError>,
    ) -> Result<Expr, ExprError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(ExprError::TooMuch {
                column,
                what: "there are more than 64 parentheses and `not`s inside one another",
            });
        }
        let inner = parse(self);
        self.depth -= 1;
        inner
    }

    fn test(&mut self) -> Result<Expr, ExprError> {
        let name = self.name()?;
        let test = |predicate| Expr::Test(Test { name, predicate });
        if let Some(operator) = self.operator() {
            let value = self.value()?;
            return Ok(test(Predicate::Compare(operator, value)));
        }
        if self.sign("~") {
            return Ok(test(Predicate::Like(self.pattern()?)));
        }
        if self.sign("!~") {
            let like = Predicate::Like(self.pattern()?);
            return Ok(Expr::Not(Box::new(test(like))));
        }
        if self.word("not") {
            if !self.word("in") {
                return self.unexpected("`in`");
            }
            let listed = Predicate::In(self.list()?);
            return Ok(Expr::Not(Box::new(test(listed))));
        }
        if self.word("in") {
            return Ok(test(Predicate::In(self.list()?)));
        }
        let is_true = Predicate::Compare(Operator::Equal, Value::Bool(true));
        Ok(test(is_true))
    }

    fn name(&mut self) -> Result<Name, ExprError> {
        let token = self.token().clone();
        let text = match token.kind {
            TokenKind::Word(word) if !is_keyword(&word) => word,
            TokenKind::Quoted(text) if !text.is_empty() => text,
            _ => return self.unexpected("the name of an attribute, `not` or `(`"),
        };
        self.take();
        Ok(Name {
            text,
            column: token.column,
        })
    }

    fn operator(&mut self) -> Option<Operator> {
        let TokenKind::Sign(sign) = self.token().kind else {
            return None;
        };
        let operator = match sign {
            "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::AtMost,
            ">" => Operator::Greater,
            ">=" => Operator::AtLeast,
            _ => return None,
        };
        self.take();
        Some(operator)
    }

    fn value(&mut self) -> Result<Value, ExprError> {
        let value = match &self.token().kind {
            TokenKind::Number(number) => Value::Number(*number),
            TokenKind::Quoted(text) => Value::Text(text.clone()),
            TokenKind::Word(word) => match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                word if is_keyword(word) => return self.unexpected("a value"),
                word => Value::Text(word.to_owned()),
            },
            TokenKind::Sign(_) | TokenKind::End => return self.unexpected("a value"),
        };
        self.take();
        Ok(value)
    }

    fn pattern(&mut self) -> Result<Pattern, ExprError> {
        let text = match &self.token().kind {
            TokenKind::Quoted(text) => text.clone(),
            TokenKind::Word(word) if !is_keyword(word) => word.clone(),
            _ => return self.unexpected("a pattern in quotes, such as 'std*'"),
        };
        self.take();
        Ok(Pattern::new(text))
    }

    fn list(&mut self) -> Result<Vec<Value>, ExprError> {
        if !self.sign("(") {
            return self.unexpected("`(`");
        }
        let mut values = vec![self.value()?];
        while self.sign(",") {
            values.push(self.value()?);
        }
        if !self.sign(")") {
            return self.unexpected("`,` or `)`");
        }
        Ok(values)
    }
}

/// One part is itself. Parts of the same sort are one: `a and (b and c)`.
fn joined(mut parts: Vec<Expr>, join: fn(Vec<Expr>) -> Expr) -> Expr {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let sort = std::mem::discriminant(&join(Vec::new()));
    let flat = parts.into_iter().flat_map(|part| {
        let same = std::mem::discriminant(&part) == sort;
        match part {
            Expr::All(inner) | Expr::Any(inner) if same => inner,
            part => vec![part],
        }
    });
    join(flat.collect())
}
