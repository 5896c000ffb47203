"""Checks that every crate that goes into the wheel has a licence compatible with Apache-2.0."""

import json
import subprocess
import sys

GOOD = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "ISC", "MIT", "MIT-0", "Unicode-3.0", "Unlicense", "Zlib", "bzip2-1.0.6", "NCSA",
}  # fmt: skip

#: What wheels are made for; a crate may name others for other systems.
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin")


def acceptable(expression: str) -> bool:
    """An SPDX expression with OR and AND, read from the loosest operator inwards."""
    text = expression.replace("/", " OR ").replace("(", " ").replace(")", " ")
    parts = [part.strip() for part in text.split(" AND ")]
    return all(any(choice.strip() in GOOD for choice in part.split(" OR ")) for part in parts)


def main() -> int:
    command = [
        "cargo",
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--features",
        "python,kafka,postgres,cassandra,cloud",
        *(f"--filter-platform={platform}" for platform in PLATFORMS),
    ]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["packages"]
    wrong = [f"{p['name']} {p['version']}: {p['license']}" for p in packages if not acceptable(p["license"] or "none")]
    print("\n".join(wrong) or f"licences: {len(packages)} crates, all compatible with Apache-2.0")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
