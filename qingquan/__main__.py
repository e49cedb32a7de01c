"""`python -m qingquan`."""

from qingquan.cli import main

main()
