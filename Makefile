# SPDX-License-Identifier: Apache-2.0
#
# aerostat. `make help` lists what can be made. Nothing is written outside build/ but by `install`.

VERSION := 0.1.0

# Programs and tests are built in build/, with sanitizers in a folder of their own beside them.
SAN ?=
BUILD ?= build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))
comma := ,

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DATADIR ?= $(PREFIX)/share
BASHCOMPDIR ?= $(DATADIR)/bash-completion/completions
ZSHCOMPDIR ?= $(DATADIR)/zsh/site-functions
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
UDEVDIR ?= $(PREFIX)/lib/udev
INSTALL ?= install

# --- compiler -------------------------------------------------------------------------------------

PKG_CONFIG ?= pkg-config
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wformat=2 -Wvla
CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu11 $(WARNINGS) $(if $(WERROR),-Werror) -fno-omit-frame-pointer \
                   $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
override LDFLAGS += $(if $(SAN),-fsanitize=$(SAN))
override CPPFLAGS += -D_GNU_SOURCE -DAEROSTAT_VERSION='"$(VERSION)"' -I.

# Asked when first needed, so that `make help` and the set-up work on a machine without them.
pkg_cflags = $(shell $(PKG_CONFIG) --cflags glib-2.0 jansson)
pkg_libs = $(shell $(PKG_CONFIG) --libs glib-2.0 jansson) -lm
# libproc2 is procps-ng 4; libprocps its predecessor.
procps = $(shell $(PKG_CONFIG) --exists libproc2 && echo libproc2 || echo libprocps)
procps_cflags = $(shell $(PKG_CONFIG) --cflags $(procps)) $(if $(filter libprocps,$(procps)),-DHAVE_LIBPROCPS)
procps_libs = $(shell $(PKG_CONFIG) --libs $(procps))
# The metrics endpoint; without the library the controller has none.
http = $(shell $(PKG_CONFIG) --exists libmicrohttpd && echo libmicrohttpd)
http_cflags = $(if $(http),$(shell $(PKG_CONFIG) --cflags $(http)) -DHAVE_MICROHTTPD)
http_libs = $(if $(http),$(shell $(PKG_CONFIG) --libs $(http)))
# The bridge to libvirt is a program of its own, built where the library is.
libvirt := $(shell $(PKG_CONFIG) --exists libvirt 2>/dev/null && echo libvirt)
libvirt_cflags = $(if $(libvirt),$(shell $(PKG_CONFIG) --cflags $(libvirt)))
libvirt_libs = $(if $(libvirt),$(shell $(PKG_CONFIG) --libs $(libvirt)))
# For `aerostatctl top`; without the library it says so.
ncurses = $(shell $(PKG_CONFIG) --exists ncursesw && echo ncursesw)
ncurses_cflags = $(if $(ncurses),$(filter -I%,$(shell $(PKG_CONFIG) --cflags $(ncurses))) -DHAVE_NCURSES)
ncurses_libs = $(if $(ncurses),$(shell $(PKG_CONFIG) --libs $(ncurses)))
cmocka_libs = $(shell $(PKG_CONFIG) --libs cmocka)

# --- what is built from what ----------------------------------------------------------------------

PROGRAMS := aerostat-agent aerostat-controller aerostatctl aerostat-sim \
            $(if $(libvirt),aerostat-libvirt)

sources = $(filter-out %/main.c,$(wildcard $(addsuffix /*.c,$(1))))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

PROTOCOL_OBJECTS := $(call objects,$(call sources,protocol protocol/transport))
AGENT_OBJECTS := $(call objects,$(call sources,agent))
POLICY_OBJECTS := $(call objects,$(call sources,host-controller/policy))
CONTROLLER_OBJECTS := $(call objects,$(call sources,host-controller host-controller/journal)) \
                      $(POLICY_OBJECTS)
CTL_OBJECTS := $(call objects,$(call sources,host-controller/ctl))
SIM_OBJECTS := $(call objects,$(call sources,host-controller/sim))
LIBVIRT_OBJECTS := $(call objects,$(call sources,host-controller/libvirt))
SUPPORT_OBJECTS := $(call objects,$(call sources,tests/support))

LIBRARIES := $(addprefix $(BUILD)/lib,$(addsuffix .a,protocol agent controller ctl sim bridge support))

.PHONY: all
all: $(addprefix $(BUILD)/,$(PROGRAMS)) ## build the programs

$(BUILD)/libprotocol.a: $(PROTOCOL_OBJECTS)
$(BUILD)/libagent.a: $(AGENT_OBJECTS)
$(BUILD)/libcontroller.a: $(CONTROLLER_OBJECTS)
$(BUILD)/libctl.a: $(CTL_OBJECTS)
$(BUILD)/libsim.a: $(SIM_OBJECTS)
$(BUILD)/libbridge.a: $(LIBVIRT_OBJECTS)
$(BUILD)/libsupport.a: $(SUPPORT_OBJECTS)

$(LIBRARIES):
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/aerostat-agent: $(BUILD)/obj/agent/main.o $(BUILD)/libagent.a $(BUILD)/libprotocol.a
$(BUILD)/aerostat-controller: $(BUILD)/obj/host-controller/main.o $(BUILD)/libcontroller.a \
                              $(BUILD)/libprotocol.a
$(BUILD)/aerostatctl: $(BUILD)/obj/host-controller/ctl/main.o $(BUILD)/libctl.a \
                      $(BUILD)/libprotocol.a
$(BUILD)/aerostat-sim: $(BUILD)/obj/host-controller/sim/main.o $(BUILD)/libsim.a \
                       $(BUILD)/libcontroller.a $(BUILD)/libprotocol.a
$(BUILD)/aerostat-libvirt: $(BUILD)/obj/host-controller/libvirt/main.o $(BUILD)/libbridge.a \
                           $(BUILD)/libcontroller.a $(BUILD)/libprotocol.a

$(addprefix $(BUILD)/,$(PROGRAMS)):
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(libs) $(procps_libs) $(pkg_libs)

$(BUILD)/aerostat-controller: libs = $(http_libs)
$(BUILD)/aerostat-libvirt: libs = $(libvirt_libs)
$(BUILD)/aerostatctl: libs = $(ncurses_libs)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(pkg_cflags) $(procps_cflags) $(http_cflags) $(libvirt_cflags) $(ncurses_cflags) \
	      $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# --- tests ----------------------------------------------------------------------------------------

TEST_KINDS := unit property integration e2e e2e-packages
BENCHES := $(patsubst %.c,$(BUILD)/%,$(filter-out $(if $(libvirt),,%/bench-libvirt.c), \
                                       $(wildcard tests/bench/bench-*.c)))
# What tests the bridge is left out where it cannot be built.
test_sources = $(filter-out $(if $(libvirt),,tests/$(1)/test-libvirt-%),$(wildcard tests/$(1)/test-*.c))
# The longest begin first, or the last of them would run alone.
LONGEST := $(addprefix %/test-,controller-stats.c libvirt-bridge.c controller-faults.c controller-balloon.c \
                               controller-host.c guest-life.c port-life.c)
longest_first = $(filter $(LONGEST),$(1)) $(filter-out $(LONGEST),$(1))
test_programs = $(patsubst %.c,$(BUILD)/%,$(call longest_first,$(call test_sources,$(1))))
TESTS := $(foreach kind,$(TEST_KINDS),$(call test_programs,$(kind)))

SOAK := $(BUILD)/tests/soak/soak
# Plays a QEMU inside a guest that plays a host (tests/e2e/test-host-kernel.c).
STAND_IN := $(BUILD)/tests/guest/qemu-stand-in
# What runs the benches, and what lies beside it for all of them.
RUN_BENCHES := $(BUILD)/tests/bench/run-benches
BENCH_OBJECTS := $(call objects,$(filter-out %/run-benches.c $(wildcard tests/bench/bench-*.c), \
                                            $(wildcard tests/bench/*.c)))
TEST_LINKED := $(TESTS) $(BENCHES) $(RUN_BENCHES) $(SOAK) $(STAND_IN) $(BUILD)/tests/metrics/fake-host
$(TEST_LINKED) $(BUILD)/aerostat-demo: $(BUILD)/libsupport.a $(BUILD)/libagent.a $(BUILD)/libctl.a \
                                 $(BUILD)/libsim.a $(if $(libvirt),$(BUILD)/libbridge.a) \
                                 $(BUILD)/libcontroller.a $(BUILD)/libprotocol.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(procps_libs) \
	      $(http_libs) $(ncurses_libs) $(cmocka_libs) $(pkg_libs)

$(foreach test,$(TEST_LINKED),$(eval $(test): $(patsubst $(BUILD)/%,$(BUILD)/obj/%.o,$(test))))
$(BENCHES) $(RUN_BENCHES): $(BENCH_OBJECTS)
$(BUILD)/aerostat-demo: $(call objects,$(wildcard tests/demo/*.c))

# Real guests need an image with the agent in it, and with what runs in one that plays a host.
# QEMU's own agent, where it is installed, is measured beside ours (bench-agent).
QEMU_GA := $(shell command -v qemu-ga)
GUEST_PROGRAMS := $(addprefix $(BUILD)/,aerostat-agent aerostat-controller aerostatctl) $(STAND_IN)
$(call test_programs,e2e): | $(BUILD)/guest/initrd.gz
$(BUILD)/guest/initrd.gz: $(GUEST_PROGRAMS) $(wildcard tests/guest/*)
	AEROSTAT_KERNEL_DIR=build/guest/kernel tests/guest/build-image.sh $(@D) $(GUEST_PROGRAMS) $(QEMU_GA)

# A Debian guest has the packages in it, of this version and of a later one.
$(call test_programs,e2e-packages): | $(BUILD)/debian/guest/initrd.gz
$(BUILD)/debian/guest/initrd.gz: $(BUILD)/guest/initrd.gz tests/e2e-packages/build-image.sh \
                                 tests/e2e-packages/test-shell.service \
                                 $(wildcard build/deb/*.deb build/deb-next/*.deb)
	tests/e2e-packages/build-image.sh $(@D) build/guest/kernel build/deb build/deb-next
	ln -sf ../aerostat-controller $(BUILD)/debian/

.PHONY: tests $(addprefix list-,$(TEST_KINDS) fuzz)
tests: $(filter-out $(call test_programs,e2e) $(call test_programs,e2e-packages),$(TESTS)) # the test programs, without guest images
$(addprefix list-,$(TEST_KINDS)): list-%:
	@echo $(call test_programs,$*)

FUZZERS := $(patsubst %.c,build/%,$(wildcard tests/fuzz/fuzz-*.c))
.PHONY: fuzz-build
fuzz-build: $(FUZZERS)
list-fuzz:
	@echo $(FUZZERS)
# With clang whatever CC is, and in folders of their own. What is compared with what leads a fuzzer
# to the words of a text; in fuzz-host's moves there are none, and without it is a third faster.
# FUZZ_SAN= plays for the laws alone, without sanitizers.
FUZZ_SAN ?= address,undefined
FUZZ_FLAGS := $(if $(FUZZ_SAN),-O1 -fsanitize=$(FUZZ_SAN) -fno-sanitize-recover=all,-O2) -g -std=gnu11 $(WARNINGS)
fuzzed_objects = $(patsubst %.c,$(1)/%.o,$(2))
define FUZZED_FOLDER
$(1)/%.o: %.c
	@mkdir -p $$(@D)
	clang $$(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(2) $$(CPPFLAGS) $$(pkg_cflags) $$(procps_cflags) \
	      $$(http_cflags) -MMD -MP -c -o $$@ $$<
$(1)/libfuzzed.a: $(call fuzzed_objects,$(1),$(call sources,protocol protocol/transport $(3) \
                    host-controller host-controller/journal host-controller/policy))
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(eval $(call FUZZED_FOLDER,build/fuzzed,,agent host-controller/sim))
$(eval $(call FUZZED_FOLDER,build/fuzzed-moves,-fno-sanitize-coverage=trace-cmp))
# The virtual loop stands before the library, which has the real one.
virtual := tests/fuzz/virtual-loop.c tests/fuzz/virtual-socket.c
FUZZ_WRAPPED := read write recv send fstat close
link_fuzzer = clang $(FUZZ_FLAGS) -fsanitize=fuzzer $(FUZZ_WRAPPED:%=-Wl,--wrap=%) -o $@ \
              $(filter %.o,$^) $(filter %.a,$^) $(procps_libs) $(http_libs) $(pkg_libs)
FUZZ_HOST := build/tests/fuzz/fuzz-host
$(filter-out $(FUZZ_HOST),$(FUZZERS)): build/tests/fuzz/%: build/fuzzed/tests/fuzz/%.o \
        $(call fuzzed_objects,build/fuzzed,$(virtual)) build/fuzzed/libfuzzed.a
	@mkdir -p $(@D)
	$(link_fuzzer)
$(FUZZ_HOST): $(call fuzzed_objects,build/fuzzed-moves,$(virtual) tests/fuzz/fuzz-host.c \
        $(wildcard tests/fuzz/host-*.c tests/fuzz/played-*.c)) build/fuzzed-moves/libfuzzed.a
	@mkdir -p $(@D)
	$(link_fuzzer)
-include $(shell find build/fuzzed build/fuzzed-moves -name '*.d' 2>/dev/null)

.PHONY: deps check check-quick check-e2e soak soak-faults check-metrics lint fuzz coverage valgrind bench bench-compare demo
deps: ## install what building, testing and the demo need
	packaging/install-dependencies.sh

demo: deps ## watch memory move between three real guests
	@$(MAKE) --no-print-directory -s -j2 all $(BUILD)/aerostat-demo $(BUILD)/guest/initrd.gz
	@AEROSTAT_BUILD=$(BUILD) $(BUILD)/aerostat-demo

check: deps ## every test: unit to real guests, sanitizers, lint, a short fuzz
	tests/check.sh

check-quick: ## unit, property and integration tests: seconds, no root, no network
	tests/check.sh quick

check-e2e: deps ## the tests on real guests
	tests/check.sh e2e

soak: deps ## HOURS (default 1) of real and fake guests under random load; 30 virtual days
	@$(MAKE) -s -j2 all $(SOAK) $(BUILD)/guest/initrd.gz
	AEROSTAT_BUILD=$(BUILD) AEROSTAT_SOAK_HOURS=$(or $(HOURS),1) $(SOAK)
	tests/soak/virtual.sh

soak-faults: deps ## the fault tests with 200 kills and stops of 30 s: an hour
	AEROSTAT_FAULT_ROUNDS=200 AEROSTAT_FAULT_PAUSE_S=30 AEROSTAT_TEST_DEADLINE=7200 \
	    tests/check.sh faults

check-metrics: all $(BUILD)/tests/metrics/fake-host ## rules and dashboards against a real Prometheus
	cd contrib/prometheus && promtool check config prometheus.yml && promtool test rules tests.yml
	AEROSTAT_BUILD=$(BUILD) tests/metrics/check-dashboards.py

lint: ## form, architecture, analysers
	tests/check.sh lint

fuzz: ## fuzz for FUZZ_SECONDS each (default 4)
	tests/check.sh fuzz

coverage: deps ## how much of the code the tests run
	tests/coverage.sh

valgrind: deps ## the unit tests under valgrind: minutes
	packaging/install-dependencies.sh --valgrind
	tests/check.sh valgrind

bench: deps ## measure everything, peers too: build/bench.json and a table, 40 minutes
	@$(MAKE) -s -j2 all $(BENCHES) $(RUN_BENCHES) $(BUILD)/guest/initrd.gz
	@! [ -e $(BUILD)/bench.json ] || mv $(BUILD)/bench.json $(BUILD)/bench-before.json
	@AEROSTAT_BUILD=$(BUILD) $(RUN_BENCHES) $(BUILD)/bench.json $(BENCHES)

bench-compare: ## how far the last two runs of bench differ
	@$(RUN_BENCHES) --compare $(BUILD)/bench-before.json $(BUILD)/bench.json

PLOTTED := aerostat static proportional mom pi poller
.PHONY: plots
plots: $(BUILD)/aerostat-sim ## draw one hard scenario under each policy, for docs/policy.md
	@mkdir -p $(BUILD)/plots docs/plots
	for policy in $(PLOTTED); do $(BUILD)/aerostat-sim run --scenario spike --series 1s \
	    --policy $$policy > $(BUILD)/plots/$$policy.json; done
	tests/sim/plot.py $(PLOTTED:%=$(BUILD)/plots/%.json) > docs/plots/spike.svg

# --- installation ---------------------------------------------------------------------------------

# What comes with the bridge to libvirt goes where that does.
installed = $(filter-out $(if $(libvirt),,%/aerostat-libvirt.8.scd %/aerostat-libvirt.service \
                                          %/aerostat-libvirt.conf),$(wildcard $(1)))
MAN_PAGES := $(patsubst docs/man/%.scd,$(BUILD)/man/%,$(call installed,docs/man/*.scd))

.PHONY: man install
man: $(MAN_PAGES) ## build the man pages
$(BUILD)/man/%: docs/man/%.scd
	@mkdir -p $(@D)
	scdoc < $< > $@

install: all man ## install into DESTDIR
	$(INSTALL) -Dm755 -t $(DESTDIR)$(SBINDIR) $(BUILD)/aerostat-agent $(BUILD)/aerostat-controller \
	    $(if $(libvirt),$(BUILD)/aerostat-libvirt)
	$(INSTALL) -Dm755 -t $(DESTDIR)$(BINDIR) $(BUILD)/aerostatctl $(BUILD)/aerostat-sim
	test -e $(DESTDIR)$(SYSCONFDIR)/aerostat/controller.conf || \
	    $(INSTALL) -Dm644 packaging/controller.conf $(DESTDIR)$(SYSCONFDIR)/aerostat/controller.conf
	test -e $(DESTDIR)$(SYSCONFDIR)/aerostat/agent.conf || \
	    $(INSTALL) -Dm644 packaging/agent.conf $(DESTDIR)$(SYSCONFDIR)/aerostat/agent.conf
	$(INSTALL) -Dm644 -t $(DESTDIR)$(DATADIR)/aerostat protocol/agent.json protocol/controller.json
	$(INSTALL) -Dm644 packaging/completions/aerostatctl.bash $(DESTDIR)$(BASHCOMPDIR)/aerostatctl
	$(INSTALL) -Dm644 packaging/completions/aerostatctl.zsh $(DESTDIR)$(ZSHCOMPDIR)/_aerostatctl
	for page in $(notdir $(MAN_PAGES)); do \
	    $(INSTALL) -Dm644 -t $(DESTDIR)$(MANDIR)/man$${page##*.} $(BUILD)/man/$$page; done
	$(INSTALL) -Dm644 -t $(DESTDIR)$(UNITDIR) $(call installed,packaging/systemd/*.service)
	sed -i 's|/usr/sbin/aerostat|$(SBINDIR)/aerostat|' $(DESTDIR)$(UNITDIR)/aerostat-*.service
	$(INSTALL) -Dm644 -t $(DESTDIR)$(UDEVDIR)/rules.d packaging/udev/*.rules
	$(INSTALL) -Dm644 -t $(DESTDIR)$(PREFIX)/lib/sysusers.d $(call installed,packaging/sysusers/*.conf)
	$(INSTALL) -Dm644 -t $(DESTDIR)$(PREFIX)/lib/tmpfiles.d $(call installed,packaging/tmpfiles/*.conf)

.PHONY: version deb deb-next rpm rpm-next check-packages
version: # of everything: programs, packages
	@echo $(VERSION)

deb: package-deps ## build the Debian packages into build/deb
	packaging/build-deb.sh $(VERSION) build/deb

deb-next: package-deps # a later version, for tests of upgrades
	packaging/build-deb.sh $(VERSION)+next build/deb-next

rpm: package-deps ## build the rpm packages into build/rpm
	packaging/build-rpm.sh $(VERSION) build/rpm

rpm-next: package-deps
	packaging/build-rpm.sh $(VERSION)+next build/rpm-next

check-packages: ## build packages, check them, live with them in a real Debian guest
	packaging/install-dependencies.sh --package-checks
	tests/check.sh packages

.PHONY: package-deps
package-deps:
	packaging/install-dependencies.sh --packages

.PHONY: clean help
clean: ## remove everything built
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'
	@echo "Variables: CC, CFLAGS, SAN=address,undefined, BUILD, DESTDIR, PREFIX, FUZZ_SECONDS, FUZZ_SAN"
