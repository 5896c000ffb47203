"""Certificates for the servers: a new authority, a server certificate, a client certificate."""

from pathlib import Path

from .watch import program, tool

NAMES = ",".join(["DNS:localhost", *(f"IP:127.0.0.{last}" for last in range(1, 9))])
#: opens the PKCS12 file
PASSWORD = "wattline"
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(folder: Path, *arguments: str) -> None:
    tool([program("openssl", "openssl"), *arguments], folder=folder)


def signed(folder: Path, who: str) -> None:
    """A key and a certificate of the authority; not itself an authority, which rustls would refuse of a server."""
    (folder / "names.cnf").write_text(f"basicConstraints=critical,CA:FALSE\nsubjectAltName={NAMES}\n")
    openssl(folder, "req", *KEY, "-subj", f"/CN={who}", "-keyout", f"{who}.key", "-out", f"{who}.csr")
    openssl(
        folder, "x509", "-req", "-in", f"{who}.csr", "-days", "30", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-extfile", "names.cnf", "-out", f"{who}.pem",
    )  # fmt: skip


def make(folder: Path) -> Path:
    """Makes ``ca.pem``, ``server.pem|key|p12``, ``keystore.pem``, ``client.pem|key`` in the folder ``tls``."""
    tls = folder / "tls"
    tls.mkdir()
    own = ("-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(tls, "req", "-x509", *KEY, "-days", "30", *own)
    for who in ("server", "client"):
        signed(tls, who)
    openssl(
        tls, "pkcs12", "-export", "-in", "server.pem", "-inkey", "server.key", "-certfile", "ca.pem",
        "-passout", f"pass:{PASSWORD}", "-out", "server.p12",
    )  # fmt: skip
    together = [(tls / name).read_text() for name in ("server.key", "server.pem", "ca.pem")]
    (tls / "keystore.pem").write_text("".join(together))
    return tls
