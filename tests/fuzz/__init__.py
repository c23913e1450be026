"""Coverage-guided fuzzing of everything that reads octets or text from outside.

``targets`` holds one module for each decoder: ``one_input(octets)`` reads the octets as that decoder would get them and
asserts what must hold whatever they are. A target knows nothing of the fuzzer; the same function is fed

* by ``python -m tests.fuzz NAME``, where atheris looks for octets that reach new branches (``engine.py``), and
* by ``test_corpus.py``, with the inputs that were worth keeping (``corpus/NAME.txt``), in every ordinary test run.
"""
