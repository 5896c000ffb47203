//! URLs of servers: `scheme://user:password@host:port,host/path?key=value`. Errors never repeat the text: it
//! may hold a password.

use crate::{Error, Kind, Result};

/// The parts of a URL, unescaped.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Url {
    /// Before the `@`.
    pub user: Option<String>,
    /// After the first `:` before the `@`.
    pub password: Option<String>,
    /// Hosts, each with its port if it has one, between commas.
    pub hosts: String,
    /// After the host, without the first `/`.
    pub path: String,
    /// What follows the `?`, in order.
    pub query: Vec<(String, String)>,
}

/// Takes what follows `scheme://` apart.
pub(super) fn parse(scheme: &str, rest: &str) -> Result<Url> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // A password with a / in it would be told as host and path.
    if path.contains('@') {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "a {scheme}:// URL has a / before an @; write a / of a password as %2F, an @ behind the host as %40"
            ),
        ));
    }
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (Some(userinfo), hosts),
        None => (None, authority),
    };
    let (user, password) =
        match userinfo.map(|u| u.split_once(':').map_or((u, None), |(u, p)| (u, Some(p)))) {
            Some((user, password)) => (Some(user), password),
            None => (None, None),
        };
    let plain = |text: &str| unescaped(scheme, text);
    let pair = |text: &str| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        Ok((plain(key)?, plain(value)?))
    };
    Ok(Url {
        user: user.filter(|u| !u.is_empty()).map(plain).transpose()?,
        password: password.map(plain).transpose()?,
        hosts: plain(hosts)?,
        path: plain(path)?,
        query: query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(pair)
            .collect::<Result<_>>()?,
    })
}

/// `%41` is `A`.
pub(super) fn unescaped(scheme: &str, text: &str) -> Result<String> {
    let wrong = || {
        Error::new(
            Kind::Usage,
            format!("a {scheme}:// URL holds a % that is no escape; write a % itself as %25"),
        )
    };
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = bytes.next().and_then(|b| char::from(b).to_digit(16));
            digit.ok_or_else(wrong)
        };
        let value = digit()? * 16 + digit()?;
        out.push(value as u8);
    }
    String::from_utf8(out).map_err(|_| wrong())
}

/// Where the password stands in a text that is a URL.
pub fn password_in(text: &str) -> Option<std::ops::Range<usize>> {
    let start = text.find("://")? + 3;
    let end = text[start..]
        .find(['/', '?'])
        .map_or(text.len(), |n| start + n);
    let at = start + text[start..end].rfind('@')?;
    let colon = start + text[start..at].find(':')?;
    Some(colon + 1..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_url() {
        let url = parse("x", "me:p%40ss:w@h1:1,[::1]:2/db%20a?k=v&l=%2F&m").unwrap();
        assert_eq!(url.user.as_deref(), Some("me"));
        assert_eq!(url.password.as_deref(), Some("p@ss:w"));
        assert_eq!(
            (url.hosts.as_str(), url.path.as_str()),
            ("h1:1,[::1]:2", "db a")
        );
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(url.query, [pair("k", "v"), pair("l", "/"), pair("m", "")]);
        let bare = parse("x", "h").unwrap();
        assert_eq!(
            (bare.hosts.as_str(), bare.user, bare.password),
            ("h", None, None)
        );
        for bad in ["me:s%zz@h", "me:zz/zz@h/db"] {
            let error = parse("x", bad).unwrap_err();
            assert!(!error.message.contains("zz"), "{error}");
        }
        assert_eq!(parse("x", "h/a%40b").unwrap().path, "a@b");
    }

    #[test]
    fn the_password_is_found_in_its_place() {
        let text = "postgresql://me:secret@h/db?a=b@c";
        assert_eq!(&text[password_in(text).unwrap()], "secret");
        for none in ["out.db", "sqlite:///a:b@c", "postgresql://me@h:1/db", "x"] {
            assert_eq!(password_in(none), None, "{none}");
        }
    }
}
