/* SPDX-License-Identifier: MIT
 *
 * What is told of the names of targets. */
#pragma once

struct instance;
struct value;

/* { names = 12, stale = 1, queries = { found = 40, … }, stale_names = { { name =, error = "timeout", seconds = since
 * the TTL was over, left = seconds for which they will serve, addresses = how many } … (32 at most) } }; nothing before
 * there are workers. */
void dns_report(struct instance *instance, struct value *table);
