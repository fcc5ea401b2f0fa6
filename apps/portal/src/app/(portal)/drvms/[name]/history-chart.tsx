'use client';
import 'uplot/dist/uPlot.min.css';
import { useComputedColorScheme } from '@mantine/core';
import { useEffect, useRef } from 'react';
import UPlot from 'uplot';

/** Something that was done, in seconds since 1970. */
export interface Mark {
  at: number;
  label: string;
}

const HEIGHT = 190;
const WIDTH_MIN = 200;
/** Colours that stay apart for every kind of colour vision, each with a dash of its own. */
const LINES = [
  { stroke: '#0f8a9d', dash: [] },
  { stroke: '#d5690e', dash: [7, 4] },
  { stroke: '#8659c9', dash: [2, 3] },
  { stroke: '#64861b', dash: [10, 3, 2, 3] },
] as const;

/** How the line of the series at this position is drawn, in the words of SVG. */
export function lineOf(position: number): { stroke: string; strokeDasharray?: string } {
  const { stroke, dash } = LINES[position % LINES.length]!;
  return dash.length === 0 ? { stroke } : { stroke, strokeDasharray: dash.join(' ') };
}

/** Lines over time on a canvas; to who cannot see it, its label says where they are now. */
export function HistoryChart({
  label,
  times,
  rows,
  marks,
  span,
  least,
  words,
  time,
}: {
  label: string;
  /** Seconds since 1970 at both ends. */
  span: readonly [number, number];
  /** The scale goes up to this at least. */
  least: number;
  times: number[];
  rows: (number | null)[][];
  marks: Mark[];
  words: (value: number) => string;
  time: (seconds: number) => string;
}) {
  const scheme = useComputedColorScheme('light');
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<UPlot | null>(null);
  const latest = useRef({ times, rows, marks, span, words, time });
  latest.current = { times, rows, marks, span, words, time };
  const count = rows.length;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const ink = scheme === 'dark' ? '#a8b5bc' : '#55626a';
    const grid = { stroke: scheme === 'dark' ? '#2b3237' : '#e6eaec', width: 1 };
    const axis = { stroke: ink, grid, ticks: grid };
    const drawMarks = (drawn: UPlot) => {
      const { ctx, bbox } = drawn;
      ctx.save();
      ctx.strokeStyle = ink;
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      for (const { at } of latest.current.marks) {
        const x = Math.round(drawn.valToPos(at, 'x', true));
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
      ctx.restore();
    };
    const made = new UPlot(
      {
        width: Math.max(WIDTH_MIN, element.clientWidth),
        height: HEIGHT,
        legend: { show: false },
        cursor: { drag: { x: false, y: false } },
        scales: {
          x: { range: () => [...latest.current.span] },
          y: { range: (_chart, _least, most) => [0, Math.max(most ?? 0, least) * 1.1] },
        },
        axes: [
          { ...axis, values: (_chart, splits) => splits.map((at) => latest.current.time(at)) },
          {
            ...axis,
            size: 56,
            values: (_chart, splits) => splits.map((value) => latest.current.words(value)),
          },
        ],
        series: [
          {},
          ...Array.from({ length: count }, (_, position) => {
            const { stroke, dash } = LINES[position % LINES.length]!;
            return { stroke, dash: [...dash], width: 2, spanGaps: false, points: { show: false } };
          }),
        ],
        hooks: { draw: [drawMarks] },
      },
      [latest.current.times, ...latest.current.rows],
      element,
    );
    chart.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: Math.max(WIDTH_MIN, element.clientWidth), height: HEIGHT }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [scheme, count, least]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: marks are drawn with the data
  useEffect(() => {
    chart.current?.setData([times, ...rows]);
  }, [times, rows, marks]);

  return <div ref={place} role="img" aria-label={label} style={{ minHeight: HEIGHT, overflow: 'hidden' }} />;
}
