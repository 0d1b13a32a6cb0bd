import { QueryErrorResetBoundary } from '@tanstack/react-query';
import { Component, type ReactNode, Suspense } from 'react';

interface CatchProps {
  children: ReactNode;
  fallback: (error: unknown, retry: () => void) => ReactNode;
  onReset: () => void;
  /** A new value forgets the failure: another page is not guilty of this one's. */
  resetKey: string;
}

class Catch extends Component<CatchProps, { error: unknown; failed: boolean }> {
  override state = { error: undefined as unknown, failed: false };

  static getDerivedStateFromError(error: unknown) {
    return { error, failed: true };
  }

  override componentDidUpdate(before: CatchProps) {
    if (this.state.failed && before.resetKey !== this.props.resetKey) this.setState({ failed: false });
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    return this.props.fallback(this.state.error, () => {
      this.props.onReset();
      this.setState({ failed: false });
    });
  }
}

/** Loading and failure of everything inside: the skeleton while it loads, the failure with a retry when it can't. */
export function Boundary({
  children,
  loading,
  failure,
  resetKey = '',
}: {
  children: ReactNode;
  loading: ReactNode;
  failure: (error: unknown, retry: () => void) => ReactNode;
  resetKey?: string;
}) {
  return (
    <QueryErrorResetBoundary>
      {({ reset }) => (
        <Catch onReset={reset} resetKey={resetKey} fallback={failure}>
          <Suspense fallback={loading}>{children}</Suspense>
        </Catch>
      )}
    </QueryErrorResetBoundary>
  );
}
