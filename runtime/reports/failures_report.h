/* SPDX-License-Identifier: MIT
 *
 * What is told of targets that have failed lately. */
#pragma once

struct instance;
struct route_target;
struct value;

/* { count = 3, list = { { target =, error =, failures =, seconds = since the last one, left = seconds for which it is
 * still tried last } … (32 at most, the latest first) } }; nothing before there are workers. */
void failures_report(struct instance *instance, struct value *table);

/* Of one of a route's targets, if it is among them: its `failed`, with the same fields. */
void failures_report_target(const struct instance *instance, const struct route_target *target, struct value *row);
