/** What a chart shows, free of the library that draws it. */
export interface Series {
  name: string;
  /** `[x, y]`; a null `y` is a gap. */
  points: [number | string, number | null][];
  kind: 'line' | 'area' | 'bar' | 'scatter';
  /** Its place in the palette, from 0. */
  color?: number;
}

export interface ChartSpec {
  series: Series[];
  x: 'time' | 'category' | 'value';
  /** Text of a y value: on the axis and in the tooltip. */
  format: (value: number) => string;
  xName?: string;
  yName?: string;
  /** Text of an x value in the tooltip. */
  formatX?: (value: number | string) => string;
  /** Ends of a time axis, in milliseconds. */
  xMin?: number;
  xMax?: number;
  /** Where the y axis ends; without it at the greatest value. */
  yMax?: number;
}
