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
SYSCONFDIR ?= /etc
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
cmocka_libs = $(shell $(PKG_CONFIG) --libs cmocka)

# --- what is built from what ----------------------------------------------------------------------

PROGRAMS := aerostat-agent aerostat-controller aerostatctl

sources = $(filter-out %/main.c,$(wildcard $(addsuffix /*.c,$(1))))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

PROTOCOL_OBJECTS := $(call objects,$(call sources,protocol protocol/transport))
AGENT_OBJECTS := $(call objects,$(call sources,agent))
POLICY_OBJECTS := $(call objects,$(call sources,host-controller/policy))
CONTROLLER_OBJECTS := $(call objects,$(call sources,host-controller)) $(POLICY_OBJECTS)
CTL_OBJECTS := $(call objects,$(call sources,host-controller/ctl))
SUPPORT_OBJECTS := $(call objects,$(call sources,tests/support))

LIBRARIES := $(addprefix $(BUILD)/lib,$(addsuffix .a,protocol agent controller ctl support))

.PHONY: all
all: $(addprefix $(BUILD)/,$(PROGRAMS)) ## build the programs

$(BUILD)/libprotocol.a: $(PROTOCOL_OBJECTS)
$(BUILD)/libagent.a: $(AGENT_OBJECTS)
$(BUILD)/libcontroller.a: $(CONTROLLER_OBJECTS)
$(BUILD)/libctl.a: $(CTL_OBJECTS)
$(BUILD)/libsupport.a: $(SUPPORT_OBJECTS)

$(LIBRARIES):
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/aerostat-agent: $(BUILD)/obj/agent/main.o $(BUILD)/libagent.a $(BUILD)/libprotocol.a
$(BUILD)/aerostat-controller: $(BUILD)/obj/host-controller/main.o $(BUILD)/libcontroller.a \
                              $(BUILD)/libprotocol.a
$(BUILD)/aerostatctl: $(BUILD)/obj/host-controller/ctl/main.o $(BUILD)/libctl.a \
                      $(BUILD)/libprotocol.a

$(addprefix $(BUILD)/,$(PROGRAMS)):
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(procps_libs) $(pkg_libs)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(pkg_cflags) $(procps_cflags) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# --- tests ----------------------------------------------------------------------------------------

test_programs = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/$(1)/test-*.c))

UNIT_TESTS := $(call test_programs,unit)
PROPERTY_TESTS := $(call test_programs,property)
INTEGRATION_TESTS := $(call test_programs,integration)
E2E_TESTS := $(call test_programs,e2e)

$(UNIT_TESTS) $(PROPERTY_TESTS) $(INTEGRATION_TESTS) $(E2E_TESTS): $(BUILD)/tests/%: \
	$(BUILD)/obj/tests/%.o $(BUILD)/libsupport.a $(BUILD)/libagent.a $(BUILD)/libctl.a \
	$(BUILD)/libcontroller.a $(BUILD)/libprotocol.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(procps_libs) $(cmocka_libs) $(pkg_libs)

.PHONY: clean
clean: ## remove everything built
	rm -rf build

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'
