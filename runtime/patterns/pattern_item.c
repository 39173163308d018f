/* SPDX-License-Identifier: MIT
 *
 * The tables of what characters are, and of what the classes of a pattern take. */
#include "patterns/pattern_item.h"

const uint8_t pattern_kinds[256] = {
    [0] = CONTROL | ZERO,
    [1 ... 8] = CONTROL,
    ['\t' ... '\r'] = CONTROL | SPACE,
    [14 ... 31] = CONTROL,
    [' '] = SPACE,
    ['!' ... '/'] = PUNCTUATION,
    ['0' ... '9'] = DIGIT | HEXADECIMAL,
    [':' ... '@'] = PUNCTUATION,
    ['A' ... 'F'] = UPPER | HEXADECIMAL,
    ['G' ... 'Z'] = UPPER,
    ['[' ... '`'] = PUNCTUATION,
    ['a' ... 'f'] = LOWER | HEXADECIMAL,
    ['g' ... 'z'] = LOWER,
    ['{' ... '~'] = PUNCTUATION,
    [127] = CONTROL,
};

const uint8_t pattern_classes[32] = {
    ['a' & 31] = UPPER | LOWER,
    ['c' & 31] = CONTROL,
    ['d' & 31] = DIGIT,
    ['g' & 31] = UPPER | LOWER | DIGIT | PUNCTUATION,
    ['l' & 31] = LOWER,
    ['p' & 31] = PUNCTUATION,
    ['s' & 31] = SPACE,
    ['u' & 31] = UPPER,
    ['w' & 31] = UPPER | LOWER | DIGIT,
    ['x' & 31] = HEXADECIMAL,
    ['z' & 31] = ZERO,
};
