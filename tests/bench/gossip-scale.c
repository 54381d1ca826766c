/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How gossip scales: 10, 100, 1,000 and 10,000 simulated nodes under 1 % loss. Some are killed silently, one after
 * the other; printed are the times until the first knows and from then on until nearly all and all know,
 * and what a node sends at rest and for each failure.
 *
 *   tests/bench/gossip-scale [--svg FILE] [N…]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "tests/sim/gossip_world.h"

#define KILLS_MAX 60
#define SIZES_MAX 16
#define SETTLED (10 * SEC)
#define REST (10 * SEC)
#define AFTER (8 * SEC)

struct figures {
	unsigned n, n_kills, missed, wrong;
	uint64_t first[KILLS_MAX], most[KILLS_MAX], all[KILLS_MAX];
	double rest_dgrams, rest_bytes, kill_dgrams, cpu;
};

struct kill {
	unsigned victim, others, n_seen, wrong;
	uint64_t first, most, all;
};

static void on_event(struct world *w, struct sim_node *n, const struct gossip_event *e, void *arg)
{
	struct kill *k = arg;

	(void)n;
	if (e->kind != GOSSIP_EV_FAILED)
		return;
	if (!node_id_eq(&e->id, &w->nodes[k->victim].card.id)) {
		k->wrong++;
		return;
	}
	k->n_seen++;
	if (k->n_seen == 1)
		k->first = w->now;
	if (k->n_seen * 100ull >= k->others * 99ull && k->most == 0)
		k->most = w->now;
	if (k->n_seen == k->others)
		k->all = w->now;
}

static uint64_t dgrams(const struct world *w, uint64_t *bytes)
{
	uint64_t n = 0;

	*bytes = 0;
	for (unsigned i = 0; i < w->n; i++) {
		n += w->nodes[i].dgrams;
		*bytes += w->nodes[i].bytes + w->nodes[i].mesh_bytes;
	}
	return n;
}

static int u64_cmp(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static void kill_one(struct world *w, struct figures *f, unsigned alive)
{
	struct kill k = { .others = alive - 1 };
	uint64_t t0, before, after, bytes;
	unsigned i = f->n_kills;

	do
		k.victim = (unsigned)rng_below(&w->rng, w->n);
	while (!w->nodes[k.victim].gossip);
	world_run(w, w->now + rng_below(&w->rng, SEC));
	before = dgrams(w, &bytes);
	w->on_event = on_event;
	w->arg = &k;
	t0 = w->now;
	node_kill(w, k.victim);
	world_run(w, w->now + AFTER);
	after = dgrams(w, &bytes);
	w->on_event = NULL;
	f->wrong += k.wrong;
	if (k.n_seen < k.others) {
		f->missed++;
		return;
	}
	f->first[i] = k.first - t0;
	f->most[i] = k.most - k.first;
	f->all[i] = k.all - k.first;
	f->kill_dgrams += (double)(after - before) / alive - f->rest_dgrams * (double)AFTER / SEC;
	f->n_kills++;
}

static void world_figures(struct figures *f, uint64_t seed, unsigned kills)
{
	uint64_t before, after, bytes_before, bytes_after;
	struct world w;

	world_init(&w, seed, f->n);
	w.loss_ppm = 10000;
	world_settled(&w);
	world_run(&w, w.now + SETTLED);
	before = dgrams(&w, &bytes_before);
	world_run(&w, w.now + REST);
	after = dgrams(&w, &bytes_after);
	f->rest_dgrams = (double)(after - before) / f->n * SEC / REST;
	f->rest_bytes = (double)(bytes_after - bytes_before) / f->n * SEC / REST;
	for (unsigned i = 0; i < kills; i++)
		kill_one(&w, f, f->n - i);
	world_fini(&w);
}

static void measure(struct figures *f)
{
	unsigned worlds = f->n <= 10 ? 30 : f->n <= 100 ? 10 : f->n <= 1000 ? 3 : 1;
	unsigned kills = f->n <= 10 ? 1 : 3;
	clock_t start = clock();

	for (unsigned i = 0; i < worlds; i++)
		world_figures(f, i + 1, kills);
	f->cpu = (double)(clock() - start) / CLOCKS_PER_SEC;
	qsort(f->first, f->n_kills, sizeof(f->first[0]), u64_cmp);
	qsort(f->most, f->n_kills, sizeof(f->most[0]), u64_cmp);
	qsort(f->all, f->n_kills, sizeof(f->all[0]), u64_cmp);
	if (f->n_kills)
		f->kill_dgrams /= f->n_kills;
}

static double median_ms(const uint64_t *v, unsigned n)
{
	return n ? (double)v[n / 2] / 1e6 : 0;
}

static double max_ms(const uint64_t *v, unsigned n)
{
	return n ? (double)v[n - 1] / 1e6 : 0;
}

static void line(const struct figures *f)
{
	printf("%6u %6u   %6.0f %6.0f   %6.0f %6.0f   %6.0f   %6.2f %6.0f   %7.1f   %6u %6u   %6.1f\n", f->n, f->n_kills,
	       median_ms(f->first, f->n_kills), max_ms(f->first, f->n_kills), median_ms(f->most, f->n_kills),
	       median_ms(f->all, f->n_kills), max_ms(f->all, f->n_kills), f->rest_dgrams, f->rest_bytes, f->kill_dgrams,
	       f->missed, f->wrong, f->cpu);
	fflush(stdout);
}

/* The plot: N on a logarithmic axis, milliseconds and datagrams per second upwards. */

static double log10_of(unsigned n)
{
	double d = 0;

	for (; n >= 10; n /= 10)
		d++;
	/* Between powers of ten a straight line is near enough for a plot. */
	return d + (n - 1) / 9.0;
}

static double plot_x(unsigned n)
{
	return 70 + (log10_of(n) - 1) * 170;
}

static void plot_line(FILE *out, const struct figures *f, unsigned n, double (*value)(const struct figures *), double scale,
                      const char *colour, const char *name, unsigned row)
{
	fprintf(out, "<polyline fill='none' stroke='%s' stroke-width='2' points='", colour);
	for (unsigned i = 0; i < n; i++)
		fprintf(out, "%.1f,%.1f ", plot_x(f[i].n), 330 - value(&f[i]) * scale);
	fprintf(out, "'/>\n");
	for (unsigned i = 0; i < n; i++)
		fprintf(out, "<circle cx='%.1f' cy='%.1f' r='3' fill='%s'><title>%.2f</title></circle>\n", plot_x(f[i].n),
		        330 - value(&f[i]) * scale, colour, value(&f[i]));
	fprintf(out, "<text x='80' y='%u' fill='%s'>%s</text>\n", 50 + 16 * row, colour, name);
}

static double value_first(const struct figures *f)
{
	return median_ms(f->first, f->n_kills);
}

static double value_known(const struct figures *f)
{
	return median_ms(f->first, f->n_kills) + median_ms(f->all, f->n_kills);
}

static double value_rest(const struct figures *f)
{
	return f->rest_dgrams;
}

static int plot(const char *path, const struct figures *f, unsigned n)
{
	FILE *out = fopen(path, "w");

	if (!out) {
		perror(path);
		return 1;
	}
	fprintf(out, "<svg xmlns='http://www.w3.org/2000/svg' width='640' height='380' font-family='sans-serif' font-size='12'>\n"
	             "<rect width='640' height='380' fill='white'/>\n"
	             "<text x='70' y='20' font-size='14'>Gossip under 1 %% loss, simulated: a silent death</text>\n"
	             "<path d='M70 30V330H600' fill='none' stroke='black'/>\n");
	for (unsigned ms = 500; ms <= 2000; ms += 500)
		fprintf(out, "<path d='M66 %.0fH600' stroke='#ddd'/><text x='30' y='%.0f'>%u ms</text>\n", 330 - ms * 0.13,
		        334 - ms * 0.13, ms);
	for (unsigned i = 0; i < n; i++)
		fprintf(out, "<text x='%.0f' y='348'>%u</text>\n", plot_x(f[i].n) - 8, f[i].n);
	fprintf(out, "<text x='330' y='368'>nodes</text>\n");
	plot_line(out, f, n, value_first, 0.13, "#1f77b4", "until the first knows (median)", 0);
	plot_line(out, f, n, value_known, 0.13, "#d62728", "until all know (median)", 1);
	plot_line(out, f, n, value_rest, 10, "#2ca02c", "datagrams per node and second at rest (right)", 2);
	for (unsigned k = 5; k <= 20; k += 5)
		fprintf(out, "<text x='605' y='%u'>%u/s</text>\n", 334 - 10 * k, k);
	fprintf(out, "</svg>\n");
	return fclose(out) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	static struct figures f[SIZES_MAX];
	static const unsigned sizes[] = { 10, 100, 1000, 10000 };
	const char *svg = NULL;
	unsigned n = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--svg") == 0 && i + 1 < argc) {
			svg = argv[++i];
		} else if (atoi(argv[i]) >= 3 && atoi(argv[i]) <= GOSSIP_MEMBERS_MAX && n < SIZES_MAX) {
			f[n++].n = (unsigned)atoi(argv[i]);
		} else {
			fprintf(stderr, "usage: %s [--svg FILE] [N…]\n", argv[0]);
			return 1;
		}
	}
	for (; n == 0 || (n < ARRAY_LEN(sizes) && f[0].n == 10 && f[n].n == 0 && argc <= 1 + 2 * (svg != NULL)); n++)
		f[n].n = sizes[n];
	printf("     N  kills   first ms    max   99 %% +ms  all +ms    max   /node s    B/s   per kill   missed  wrong    CPU s\n");
	for (unsigned i = 0; i < n; i++) {
		measure(&f[i]);
		line(&f[i]);
	}
	return svg ? plot(svg, f, n) : 0;
}
