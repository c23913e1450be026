# Two commands from a bare checkout: `make demo` and `make test`. Each makes what it needs.

PYTHON ?= python3
RUN := .venv/bin
PIP := $(RUN)/python -m pip --disable-pip-version-check install --quiet

TEST_PROCESSES ?= 2
FUZZ_SECONDS ?= 600
CHAOS_KILLS ?= 500
CHAOS_SEED ?= 1

.PHONY: demo test tools soak chaos bench fuzz lint clean

# In CI it ends after the story; else the service stays, with commands to try, until Ctrl-C.
demo: .venv/run.stamp
	$(RUN)/stsgate demo $(if $(CI),--exit)

test: tools .venv/dev.stamp .venv-peers/stamp
	$(RUN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

# Programs of other people that the tests start: Wireshark's command opens traces, mosquitto is the MQTT broker, openssl
# makes the certificates of its example configuration.
tools:
	@missing=""; for tool in tshark mosquitto mosquitto_sub:mosquitto-clients openssl; do \
		PATH="$$PATH:/usr/sbin" command -v $${tool%%:*} > /dev/null || missing="$$missing $${tool##*:}"; done; \
	test -z "$$missing" || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing; } \
		|| { echo "missing:$$missing; install it (Debian: apt-get install$$missing)"; exit 1; }

soak: tools .venv/dev.stamp .venv-peers/stamp
	$(RUN)/python -m pytest -m soak

# The service in virtual time on 10,000 seeds, then killed for real.
chaos: .venv/dev.stamp
	$(RUN)/python -m pytest -m chaos
	$(RUN)/python -m tests.chaos --kills $(CHAOS_KILLS) --seed $(CHAOS_SEED)

bench: tools .venv/dev.stamp .venv-peers/stamp
	$(RUN)/python -m benchmarks.delivery
	$(RUN)/python -m benchmarks.service
	$(RUN)/python -m benchmarks.transports
	$(RUN)/python -m benchmarks.fleet
	$(RUN)/python -m benchmarks.sts
	$(RUN)/python -m benchmarks.sts_errors

fuzz: .venv/fuzz.stamp
	$(RUN)/python -m tests.fuzz all --seconds $(FUZZ_SECONDS)

lint: .venv/dev.stamp
	$(RUN)/ruff format . && $(RUN)/ruff check --fix . && $(RUN)/mypy

clean:
	rm -rf .venv .venv-peers

.venv/run.stamp: requirements/run.lock pyproject.toml
	test -x $(RUN)/python || $(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements/run.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev.stamp: requirements/dev.lock .venv/run.stamp
	$(PIP) --require-hashes -r requirements/dev.lock
	touch $@

.venv/fuzz.stamp: requirements/fuzz.lock .venv/dev.stamp
	$(PIP) --require-hashes -r requirements/fuzz.lock
	touch $@

# Other people's DLMS stacks: test oracles, in an environment of their own, never imported by the project.
.venv-peers/stamp: requirements/peers.lock
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/peers.lock
	touch $@
