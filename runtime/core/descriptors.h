/* SPDX-License-Identifier: MIT
 *
 * How many descriptors the process may have, and how many of them traffic may: when it has used them up, somebody is
 * going to ask why, and to change a route. The kernel gives the lowest that is free, so its number tells how many there
 * are. */
#pragma once

/* A connection takes two, and the default soft limit is low for the sake of programs that use select(2). */
void descriptors_raise_limit(void);

/* The first that is kept for who looks and who changes something; 0: there is no limit. */
int descriptors_for_traffic(void);

/* 0 when one is free below that; -EMFILE, or -ENFILE when the whole system has none. One may be gone again when it is
 * taken. */
int descriptors_probe(void);
