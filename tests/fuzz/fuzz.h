/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * What libFuzzer calls (https://llvm.org/docs/LibFuzzer.html); without it, standalone.c does. One input is one text:
 * the parsers take strings. A property that does not hold is an abort, as a GLib assertion is.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
