/* SPDX-License-Identifier: MIT
 *
 * Sorting of numbers. What is larger is sorted by a number that says where it is. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* From the lowest on. Takes as much memory again while it runs where there are many; without it, more time. */
void sort_numbers(uint64_t *numbers, size_t count);

/* For bsearch(). */
int sort_compare_numbers(const void *left, const void *right);
