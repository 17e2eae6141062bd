"""The version, where every part can read it without importing the package itself."""

VERSION = "0.1.0"
