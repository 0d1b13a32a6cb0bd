import { useComputedColorScheme } from '@mantine/core';
import { BarChart, LineChart, ScatterChart } from 'echarts/charts';
import { GridComponent, LegendComponent, TooltipComponent } from 'echarts/components';
import { type ECharts, init, use as register } from 'echarts/core';
import { CanvasRenderer } from 'echarts/renderers';
import { useEffect, useRef } from 'react';
import type { ChartSpec, Series } from './spec';

register([LineChart, BarChart, ScatterChart, GridComponent, TooltipComponent, LegendComponent, CanvasRenderer]);

export default function Drawing({ spec, height }: { spec: ChartSpec; height: number }) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts>(undefined);
  const scheme = useComputedColorScheme('light', { getInitialValueInEffect: false });

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const made = init(element);
    chart.current = made;
    const watch = new ResizeObserver(() => made.resize());
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.dispose();
      chart.current = undefined;
    };
  }, []);

  useEffect(() => {
    // `replaceMerge` keeps what did not change, so that live values move without flicker.
    chart.current?.setOption(options(spec), { replaceMerge: ['series'] });
  }, [spec, scheme]);

  return <div ref={box} style={{ height, width: '100%' }} />;
}

const token = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A time axis names the month with the day, and an hour as a clock does. */
const TIME_LABELS = { year: '{yyyy}', month: '{MMM} {yyyy}', day: '{d} {MMM}', hour: '{HH}:{mm}', minute: '{HH}:{mm}', second: '{HH}:{mm}:{ss}', millisecond: '{HH}:{mm}:{ss}', none: '{HH}:{mm}:{ss}' };

const escape = (text: string) => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);

function options(spec: ChartSpec) {
  const [text, muted, faint, rule, raised, strong] = ['--text', '--muted', '--faint', '--rule', '--raised', '--rule-strong'].map(token);
  const palette = [1, 2, 3, 4, 5, 6].map((at) => token(`--c${at}`));
  const font = { fontFamily: 'Inter, Segoe UI, system-ui, sans-serif', fontSize: 12 };
  const many = spec.series.length > 1;
  const categories = spec.x === 'category' ? [...new Set(spec.series.flatMap((series) => series.points.map((point) => String(point[0]))))] : undefined;
  const draws = (kind: Series['kind']) => spec.series.some((series) => series.kind === kind);

  return {
    animation: false,
    textStyle: font,
    grid: { left: 4, right: 12, top: (many ? 34 : 10) + (spec.yName ? 18 : 0), bottom: spec.xName ? 22 : 2, containLabel: true },
    legend: many ? { top: 0, left: 0, icon: 'roundRect', itemWidth: 10, itemHeight: 10, textStyle: { color: muted, ...font } } : undefined,
    tooltip: {
      trigger: draws('scatter') ? 'item' : 'axis',
      confine: true,
      transitionDuration: 0,
      backgroundColor: raised,
      borderColor: strong,
      padding: [6, 10],
      textStyle: { color: text, ...font },
      axisPointer: { type: draws('bar') ? 'shadow' : 'line', lineStyle: { color: strong }, shadowStyle: { color: 'rgba(128,128,128,0.1)' } },
      formatter: (hit: TooltipHit | TooltipHit[]) => tooltip(spec, Array.isArray(hit) ? hit : [hit]),
    },
    xAxis: {
      type: spec.x,
      data: categories,
      name: spec.xName,
      nameLocation: 'middle',
      nameGap: 26,
      nameTextStyle: { color: faint, ...font },
      min: spec.xMin,
      max: spec.xMax,
      scale: true,
      boundaryGap: spec.x === 'category',
      axisLine: { lineStyle: { color: strong } },
      axisTick: { show: false },
      axisLabel: { color: faint, hideOverlap: true, ...font, rich: { primary: { fontWeight: 'normal' } }, ...(categories ? { width: 120, overflow: 'truncate' } : {}), ...(spec.x === 'value' ? { formatter: spec.formatX } : spec.x === 'time' ? { formatter: TIME_LABELS } : {}) },
      splitLine: { show: false },
    },
    yAxis: {
      type: 'value',
      name: spec.yName,
      nameTextStyle: { color: faint, align: 'left', padding: [0, 0, 0, -4], ...font },
      nameGap: 12,
      max: spec.yMax ?? null,
      splitNumber: 4,
      // Bars and areas start at zero; a line of its own may not.
      scale: !draws('bar') && !draws('area'),
      axisLabel: { color: faint, formatter: spec.format, ...font },
      splitLine: { lineStyle: { color: rule } },
    },
    series: spec.series.map((series, at) => {
      const color = palette[(series.color ?? at) % palette.length];
      return {
        name: series.name,
        type: series.kind === 'area' ? 'line' : series.kind,
        data: series.points,
        showSymbol: series.points.length < 2,
        symbolSize: series.kind === 'scatter' ? 6 : 5,
        connectNulls: false,
        barMaxWidth: 36,
        sampling: series.kind === 'line' ? 'lttb' : undefined,
        lineStyle: { width: 1.6, color },
        itemStyle: { color, opacity: series.kind === 'scatter' ? 0.7 : 1, borderRadius: series.kind === 'bar' ? [2, 2, 0, 0] : 0 },
        areaStyle: series.kind === 'area' ? { color, opacity: 0.12 } : undefined,
        emphasis: { disabled: series.kind !== 'bar' },
      };
    }),
  };
}

interface TooltipHit {
  seriesName?: string;
  axisValue?: number | string;
  value: [number | string, number | null];
  marker?: string;
}

function tooltip(spec: ChartSpec, hits: TooltipHit[]): string {
  const first = hits[0];
  if (!first) return '';
  const x = first.value[0];
  const head = spec.formatX ? spec.formatX(x) : String(x);
  const lines = hits.map((hit) => {
    const y = hit.value[1];
    const value = y === null || y === undefined ? 'no data' : spec.format(y);
    return `<div style="display:flex;gap:12px;align-items:center">${hit.marker ?? ''}<span>${escape(hit.seriesName ?? '')}</span><b style="margin-left:auto;font-weight:600">${escape(value)}</b></div>`;
  });
  return `<div style="color:var(--muted);margin-bottom:2px">${escape(head)}</div>${lines.join('')}`;
}
