import { SetMetadata } from '@nestjs/common';

export const IS_PUBLIC = 'drvs:public';

/** Served without signing in. */
export const Public = () => SetMetadata(IS_PUBLIC, true);
