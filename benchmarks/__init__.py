"""What the store costs, measured beside its floor and beside a well-known library.

Run it with ``python -m benchmarks``; ``README.md`` in this directory says what each row
means. Nothing here asserts a time: machines differ, so every figure stands beside others
of the same run.
"""
